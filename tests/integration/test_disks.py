"""A disk that is full and one that cannot be written: refused in words, nothing is lost, and it goes on afterwards."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch
from sqlalchemy import text
from torch import nn

from app.database import migrate, unit_of_work
from app.settings import Settings
from tests.live_api import LiveApi, live_api
from tests.mounts import make_read_only, small_disk
from tests.pt2_files import exported

ROOT = Path(__file__).resolve().parents[2]
DISK_MIB = 24


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", DISK_MIB) as folder:
        yield folder


@pytest.fixture
def network() -> bytes:
    """As many outputs as the digits have classes."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 16, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return exported(nn.Sequential(*layers, nn.Linear(16, 10)), channels=1)


def netadapt(*typed: str, data: Path) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NETADAPT_")}
    command = [sys.executable, "-P", "-m", "app.cli", *typed, "--data-dir", str(data)]
    environment |= {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def post(api: LiveApi, content: bytes) -> httpx.Response:
    return api.client.post("/v1/models", files={"file": ("net.pt2", content)})


def fill_up(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:

        def write_on() -> None:
            while True:
                file.write(b"\0" * 4096)

        with pytest.raises(OSError, match="No space left"):
            write_on()
    return filler


def files_under(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("netadapt.db")}


def test_an_upload_larger_than_the_disk_is_503_and_leaves_room_for_the_next(disk: Path, network: bytes) -> None:
    with live_api(disk, max_upload_bytes=100 * 1024 * 1024) as api:
        before = files_under(disk)
        refused = post(api, b"P" * (DISK_MIB * 1024 * 1024))
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:netadapt:problem:storage-full")
        assert int(refused.headers["retry-after"]) > 0
        assert files_under(disk) == before
        assert post(api, network).status_code == 201


def test_a_disk_without_any_room_refuses_what_writes_answers_what_reads_and_goes_on(disk: Path, network: bytes) -> None:
    with live_api(disk) as api:
        model = post(api, network).json()
        filler = fill_up(disk)
        other = post(api, network + b" ")
        assert (other.status_code, other.json()["type"]) == (503, "urn:netadapt:problem:storage-full")
        assert api.client.get(f"/v1/models/{model['id']}").json() == model
        request = {"model": model["id"], "budget": {"macs": "60%"}, "settings": {"preset": "quick"}}
        answers = [
            api.client.post("/v1/jobs", json=request) for _ in range(40)
        ]  # until the database's own file is full
        assert {answer.status_code for answer in answers} <= {202, 503}
        full = [answer.json()["type"] for answer in answers if answer.status_code == 503]
        assert set(full) == {"urn:netadapt:problem:storage-full"}
        filler.unlink()
        accepted = api.client.post("/v1/jobs", json=request)
        assert accepted.status_code == 202
        kept = [answer.json()["id"] for answer in answers if answer.status_code == 202] + [accepted.json()["id"]]
        listed = [job["id"] for job in api.client.get("/v1/jobs", params={"limit": 500}).json()["data"]]
        assert sorted(listed) == sorted(kept)


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["worker"]])
def test_a_data_folder_that_cannot_be_written_is_one_line_before_anything_starts(
    disk: Path, command: list[str]
) -> None:
    migrate(Settings(data_dir=disk).database_url)
    make_read_only(disk)
    ended = netadapt(*command, data=disk)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"netadapt: the data folder {disk} cannot be written (Read-only file system): "
        "make it writable for this user, or name another with --data-dir\n"
    )


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["worker"], ["migrate"]])
def test_a_database_of_a_newer_version_is_refused_by_its_name(tmp_path: Path, command: list[str]) -> None:
    with live_api(tmp_path) as api, unit_of_work(api.services.sessions) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9876'"))
    ended = netadapt(*command, data=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "the database is at revision 9876" in ended.stderr
    assert "start the version that migrated it, or a newer one" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_what_the_settings_name_and_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("NETADAPT_STORAGE_URL", "nonsense://bucket"),
        ("NETADAPT_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing"),
        ("NETADAPT_DATABASE_URL", "mysql://nobody@127.0.0.1/nothing"),
        ("NETADAPT_KEEP_JOBS_DAYS", "-1"),
    ):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("NETADAPT_")}
        environment |= {"PYTHONPATH": str(ROOT), "NETADAPT_DATA_DIR": str(tmp_path), name: value}
        command = [sys.executable, "-P", "-m", "app.cli", "serve", "--port", "0"]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert ended.returncode == 1, json.dumps([name, value, ended.stdout])
        assert ended.stderr.splitlines()[-1].startswith("netadapt: ")
        assert "Traceback" not in ended.stderr
