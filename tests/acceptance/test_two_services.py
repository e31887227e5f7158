"""Two services started on one data folder: they work as one, each job is run by one of them."""

from pathlib import Path

import pytest

from app.client import Client
from benchmarks.live_service import live_service

SETTINGS = {
    "preset": "quick",
    "short_term_steps": 2,
    "long_term_epochs": 1,
    "executor": "serial",
    "schedule": {"initial": 0.2, "decay": 1.0},
}


@pytest.mark.timeout(480)  # two services start beside each other on two cores
def test_two_services_on_one_sqlite_file_share_the_work(tmp_path: Path, net_file: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    (tmp_path / "first" / "data").mkdir()
    (tmp_path / "second" / "data").symlink_to(tmp_path / "first" / "data")
    with (
        live_service(tmp_path / "first") as one,
        live_service(tmp_path / "second") as other,
        Client(one) as client,
        Client(other) as elsewhere,
    ):
        model = client.models.add(net_file)["id"]
        assert elsewhere.models.get(model)["id"] == model
        submitted = [
            turn.submit(model, budget={"macs": "80%"}, settings=SETTINGS)["id"] for turn in (client, elsewhere)
        ]
        for job in submitted:
            assert elsewhere.wait(job)["state"] == "succeeded"
            assert runs(client, job) == 1
        assert {job["id"] for job in client.jobs.list()} == set(submitted)
        client.jobs.delete(submitted[0])
        assert {job["id"] for job in elsewhere.jobs.list()} == set(submitted[1:])
    assert list((tmp_path / "first" / "data" / "scratch").iterdir()) == []


def runs(client: Client, job: str) -> int:
    """How often a worker began with it."""
    states = [event["data"]["state"] for event in client.watch(job) if event["event"] == "state"]
    return states.count("running")
