"""docs/extending.md: the package that it shows is installed as it stands there, and used in a search and in a job."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import adapt
from adapt.events import Latency, Measured
from adapt.formats.onnx_writer import write_onnx
from adapt.graph.operators import OPERATORS
from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.latency.runtimes.opening import open_runtime
from adapt.latency.trial import tiny_graph
from adapt.latency.variants import random_network
from app.database import unit_of_work
from app.tasks.queue import TaskQueue
from app.tasks.records import ClaimedTask
from tests.plugin_package import install
from tests.trained import trained_pt2
from tests.worked_jobs import job_of, submit, work, workshop
from workers.service import Service
from workers.tasks import run_task

TEXT = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
*PACKAGE, SEARCH, OPERATOR = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
PROJECT = tomllib.loads(re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)[0])["project"]
FAST = {"short_term_steps": 2, "long_term_epochs": 1, "executor": "serial"}


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("site-packages")
    install(folder, PROJECT["name"], "\n".join(PACKAGE), PROJECT["entry-points"], PROJECT["version"])
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(folder)
        yield


def test_the_search_that_the_page_shows_goes_by_all_three(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "network.pt2").write_bytes(trained_pt2())
    monkeypatch.chdir(tmp_path)
    events: list = []
    run = adapt.run
    monkeypatch.setattr(adapt, "run", lambda *a, **k: run(*a, **k, **FAST, on_event=events.append), raising=False)
    names: dict = {}
    exec(compile(SEARCH, "docs/extending.md", "exec"), names)  # our own page
    adapted = names["adapted"]
    measured = {(event.key, event.resource): event.figure for event in events if isinstance(event, Measured)}
    original = measured["0", "traffic_bytes"]
    assert adapted.figures["traffic_bytes"].value <= 0.8 * original.value
    assert adapted.iterations > 0
    latency = adapted.figures["latency_ms"]
    assert isinstance(latency, Latency)
    plain = RuntimeChoice(runtime="plain-onnx", provider="cpu")
    assert latency.conditions == open_runtime(plain).conditions.fingerprint()
    assert "Figure(" in capsys.readouterr().out


def test_the_runtime_of_the_page_runs_and_profiles_what_we_write() -> None:
    file = write_onnx(random_network(tiny_graph()))
    runtime = open_runtime(RuntimeChoice(runtime="plain-onnx", provider="cpu", batch=2))
    session = runtime.load(file)
    assert len(session.time_ms(3)) == 3
    session.close()
    profiled = " ".join(kernel.name for kernel in runtime.profile(file, 2))
    assert all(name in profiled for name in ("relu", "mean", "head"))
    assert runtime.conditions.runtime == "plain-onnx"


def next_measuring(service: Service) -> ClaimedTask | None:
    with unit_of_work(service.sessions) as session:
        return TaskQueue(session).claim_next_task("test", lane="measuring", lease_s=30)


def test_a_job_and_a_target_take_what_the_package_adds(tmp_path: Path) -> None:
    with workshop(tmp_path) as shop:
        info = shop.api.client.get("/v1/info").json()["built"]
        assert {"largest-weight"} < set(info["importances"])
        assert {"plain-onnx"} < set(info["runtimes"])
        target = shop.api.client.post("/v1/targets", json={"kind": "local", "runtime": "plain-onnx"})
        assert target.status_code == 201, target.text
        while (task := next_measuring(shop.service)) is not None:
            run_task(task, shop.service, shutdown=lambda: False)
        found = shop.api.client.get(f"/v1/targets/{target.json()['id']}").json()
        assert (found["state"], found["fingerprint"]["runtime"]) == ("ready", "plain-onnx"), found["error"]
        job = submit(shop.api, shop.model, {"macs": "85%"}, importance="largest-weight", long_term_epochs=0)
        work(shop.service)
        assert job_of(shop.api, job)["state"] == "succeeded", job_of(shop.api, job)["error"]


def test_the_row_of_the_page_says_the_same_to_torch_and_to_onnx() -> None:
    names: dict = {}
    exec(compile(OPERATOR, "docs/extending.md", "exec"), names)
    row = names["COSINE"]
    assert row.name not in OPERATORS
    (node,) = row.onnx(type("Call", (), {"inputs": ("x",)}))
    assert onnx.defs.has(node.op_type)
    pixels = torch.linspace(-3, 3, 7)
    np.testing.assert_allclose(row.function(torch, {})(pixels).numpy(), np.cos(pixels.numpy()), rtol=1e-6)
    assert row.aten[0].target == torch.ops.aten.cos.default.name().removeprefix("aten::") + ".default"


def test_the_page_names_files_that_are_there() -> None:
    root = Path(__file__).parents[2]
    for path in re.findall(r"`((?:adapt|tests)/[\w/.]+\w)`", TEXT):
        assert (root / path).exists(), path
    for page in re.findall(r"\]\((\w+\.md)\)", TEXT):
        assert (root / "docs" / page).is_file()
