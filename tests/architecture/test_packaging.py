"""Image, compose file and make targets install in one way, so that they cannot drift apart.

The image itself cannot be built where these tests run: no container engine is assumed. What is checked is that each of
its RUN lines is a make target of ours or installs a system package, so that `make service`, which can be run anywhere,
is all there is to it.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.cli.supervision import DRAIN_S
from app.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SYSTEM_PACKAGE = re.compile(r"apt-get update && apt-get install -y --no-install-recommends [a-z0-9 .+-]+")


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def instructions(keyword: str) -> list[str]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.partition(" ")[2].strip() for line in text.splitlines() if line.startswith(f"{keyword} ")]


def test_each_run_of_the_image_is_a_make_target_or_a_system_package() -> None:
    runs = instructions("RUN")
    assert "make service" in runs
    for run in runs:
        target = re.fullmatch(r"make ([a-z-]+)", run)
        assert (target and target[1] in make_targets()) or SYSTEM_PACKAGE.fullmatch(run), run


def test_the_image_copies_all_that_its_make_target_installs_and_all_of_it_reaches_the_build() -> None:
    copied = {part for line in instructions("COPY") for part in line.split()[:-1]}
    packages = {name.rstrip("*") for name in project()["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages | {"pyproject.toml", "constraints.txt", "Makefile", "README.md"} <= copied
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    assert copied <= {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_runs_as_nobody_special_and_can_tell_whether_it_is_well() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert "/healthz" in instructions("HEALTHCHECK")[0]


def test_compose_runs_api_worker_database_and_store_from_the_one_image() -> None:
    services = compose()
    assert {"api", "worker", "postgres", "store"} <= set(services)
    assert services["api"]["build"] == services["worker"]["build"] == "."
    assert services["worker"]["command"] == ["worker"]
    assert services["api"]["command"][:2] == ["serve", "--no-worker"]
    assert services["api"]["ports"] == ["127.0.0.1:8000:8000"]


def test_what_compose_sets_are_settings_and_what_it_leaves_empty_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("api", "worker"):
        environment = compose()[name]["environment"]
        ours = {name.removeprefix("NETADAPT_").lower() for name in environment if name.startswith("NETADAPT_")}
        assert {"database_url", "storage_url", "keep_jobs_days", "keep_unused_days"} <= ours
        assert ours <= set(Settings.model_fields)
    for name in ("NETADAPT_KEEP_JOBS_DAYS", "NETADAPT_KEEP_UNUSED_DAYS"):
        monkeypatch.setenv(name, "")
    assert (Settings().keep_jobs_days, Settings().keep_unused_days) == (None, None)


def test_containers_can_write_their_data_alone_and_are_given_time_to_drain() -> None:
    for name in ("api", "worker"):
        service = compose()[name]
        assert (service["read_only"], service["tmpfs"], service["init"]) == (True, ["/tmp"], True)
        assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
        assert [volume.partition(":")[2] for volume in service["volumes"]] == ["/data"]
        assert float(service["stop_grace_period"].removesuffix("s")) > DRAIN_S


def test_the_two_commands_of_the_readme_are_make_targets() -> None:
    first_block = (ROOT / "README.md").read_text().split("```")[1]
    commands = [line.partition("#")[0].strip() for line in first_block.strip().splitlines()]
    assert commands == ["make demo", "make test"]
    assert {"demo", "test", "install", "browser", "lint", "bench"} <= make_targets()


def test_torch_is_pinned_to_the_same_version_everywhere() -> None:
    pins = {
        *re.findall(r"^TORCH := (\S+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE),
        *re.findall(r"^torch==\S+$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE),
        *(name for name in project()["project"]["optional-dependencies"]["service"] if name.startswith("torch=")),
    }
    assert pins == {"torch==2.13.0"}


def test_the_agent_needs_neither_torch_nor_a_database() -> None:
    extras = project()["project"]["optional-dependencies"]
    assert {re.split(r"[<>=]", name)[0] for name in extras["agent"]} == {"numpy", "onnxruntime"}
    assert {"agent", "service", "postgres", "s3", "ray", "dev"} <= set(extras)


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return services


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())
