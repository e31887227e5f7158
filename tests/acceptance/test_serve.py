"""`netadapt serve` as a user starts it: a real process, asked over real HTTP by the real command line."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.client import Client
from benchmarks.live_service import live_service

ROOT = Path(__file__).resolve().parents[2]


def netadapt(*typed: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the command line in `folder`, as the installed script would: not with the folder on its path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NETADAPT_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "app.cli", *typed],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with live_service(tmp_path_factory.mktemp("service")) as address:
        yield address


def test_the_service_says_what_it_is(address: str) -> None:
    with Client(address) as client:
        assert {"version", "limits", "presets", "formats"} <= set(client.info())


def test_what_is_always_there_is_listed_on_the_command_line(address: str, tmp_path: Path) -> None:
    for command, id_ in (("datasets", "digits"), ("targets", "local")):
        listed = netadapt(command, "list", "--json", "--url", address, folder=tmp_path)
        assert listed.returncode == 0, listed.stderr
        assert id_ in [row["id"] for row in json.loads(listed.stdout)]
        shown = netadapt(command, "show", id_, "--url", address, folder=tmp_path)
        assert shown.returncode == 0, shown.stderr
        assert id_ in shown.stdout


def test_what_is_not_there_ends_with_1_and_one_line(address: str, tmp_path: Path) -> None:
    for typed in (["show", "job_nope"], ["models", "show", "mdl_nope"], ["cancel", "job_nope"], ["watch", "job_nope"]):
        ended = netadapt(*typed, "--url", address, folder=tmp_path)
        assert ended.returncode == 1
        assert ended.stdout == ""
        assert len(ended.stderr.splitlines()) == 1
        assert typed[-1] in ended.stderr


def test_a_file_that_is_no_network_is_refused_in_one_line(address: str, tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(b"not a zip")
    for typed in (["models", "add", "net.pt2"], ["submit", "net.pt2", "--latency-ms", "8"]):
        ended = netadapt(*typed, "--url", address, folder=tmp_path)
        assert ended.returncode == 1
        assert len(ended.stderr.splitlines()) == 1


def test_nothing_listens_is_one_helpful_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    ended = netadapt("jobs", "--url", f"http://127.0.0.1:{port}", folder=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"netadapt: nothing answers at http://127.0.0.1:{port}; "
        "start it with `netadapt serve`, or name another with --url\n"
    )


def test_a_port_in_use_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = netadapt("serve", "--port", str(taken.getsockname()[1]), folder=tmp_path)
    assert ended.returncode == 1
    assert "choose another with --host or --port" in ended.stderr


def test_another_address_is_refused_while_there_is_no_token(tmp_path: Path) -> None:
    ended = netadapt("serve", "--host", "0.0.0.0", "--port", "0", folder=tmp_path)
    assert ended.returncode == 1
    assert "netadapt token create" in ended.stderr


def test_a_token_is_made_listed_and_revoked(tmp_path: Path) -> None:
    made = netadapt("token", "create", "me", "--json", folder=tmp_path)
    token = json.loads(made.stdout)
    assert token["token"].startswith("nat_")
    listed = netadapt("token", "list", folder=tmp_path)
    assert token["id"] in listed.stdout
    assert token["token"] not in listed.stdout
    assert netadapt("token", "revoke", token["id"], folder=tmp_path).returncode == 0
    assert json.loads(netadapt("token", "list", "--json", folder=tmp_path).stdout)[0]["revoked_at"]
    assert netadapt("token", "revoke", "tok_nope", folder=tmp_path).returncode == 1


def test_it_works_in_a_folder_with_an_app_of_its_own(tmp_path: Path) -> None:
    for name in ("app", "workers", "adapt"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('somebody else')")
    migrated = netadapt("migrate", folder=tmp_path)
    assert migrated.returncode == 0, migrated.stderr
    assert "database at revision" in migrated.stdout
