"""A racing job over real HTTP: its record says who left where and why, and a worker that is gone changes no byte."""

import csv
import io
from typing import Any

import pytest
from sqlalchemy import text

from adapt.errors import Stopped
from adapt.events import ControlEvaluated, CutsJoined, Event, ProposalEvaluated, RungDone
from app.database import unit_of_work
from app.jobs.queue import JobQueue
from app.tasks.queue import TaskQueue
from tests.databases import DATABASES
from tests.live_api import LiveApi
from tests.trained import trained_pt2
from workers import adaptation, recording
from workers.adaptation import run_job
from workers.service import Service
from workers.tasks import run_task

STEPS = 8
SETTINGS: dict[str, Any] = {
    "preset": "quick",
    "search": "racing",
    "short_term_steps": STEPS,
    "long_term_epochs": 1,
    "executor": "serial",
    "schedule": {"initial": 0.1, "decay": 1.0},
}


class Gone(Stopped):
    """Stands for a worker that is gone: nothing more is written."""


@pytest.fixture(name="model")
def _model(api: LiveApi, service: Service) -> str:
    answer = api.client.post("/v1/models", files={"file": ("net.pt2", trained_pt2())})
    with unit_of_work(service.sessions) as session:
        task = TaskQueue(session).claim_next_task("test", lease_s=30)
    assert task is not None
    run_task(task, service, shutdown=lambda: False)
    return str(answer.json()["id"])


def submit(api: LiveApi, model: str, macs: str = "75%", **settings: Any) -> str:
    request = {"model": model, "budget": {"macs": macs}, "settings": {**SETTINGS, **settings}}
    answer = api.client.post("/v1/jobs", json=request)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def work(service: Service) -> None:
    with unit_of_work(service.sessions) as session:
        claimed = JobQueue(session).claim_next_job("test", lease_s=30)
    assert claimed is not None
    run_job(claimed, service, lambda: False)


def listed(api: LiveApi, job: str, part: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.client.get(f"/v1/jobs/{job}/{part}", params={"limit": 500}).json()["data"]
    return found


def final_sha256(api: LiveApi, job: str) -> str:
    last = listed(api, job, "checkpoints")[-1]
    assert last["checkpoint"] == "final", last
    return next(str(file["sha256"]) for file in last["files"] if file["format"] == "safetensors")


def told_of_joining(api: LiveApi, job: str) -> list[dict[str, Any]]:
    """The messages about cuts that were tried together."""
    told = [event["data"] for event in listed(api, job, "events") if event["event"] == "message"]
    return [each for each in told if "adds_up" in each]


def decisions(api: LiveApi, job: str) -> list[Any]:
    columns = ("iteration", "group", "state", "reason", "rung", "behind", "accuracy", "steps", "picked")
    found = [[each[column] for column in columns] for each in listed(api, job, "proposals")]
    return sorted(found, key=lambda each: each[:2])


def cut_off(api: LiveApi, service: Service, monkeypatch: pytest.MonkeyPatch, kind: type, count: int) -> None:
    """The `count`-th event of `kind` is recorded, and then the worker is gone, and its lease runs out."""

    class Interrupting(recording.Recording):
        seen = 0

        def write(self, event: Event) -> None:
            super().write(event)
            self.seen += isinstance(event, kind)
            if self.seen == count and isinstance(event, kind):
                raise Gone("the worker is gone")

    with monkeypatch.context() as patch:
        patch.setattr(adaptation, "Recording", Interrupting)
        work(service)
    with unit_of_work(service.sessions) as session:
        session.execute(text("UPDATE jobs SET lease_expires_at = '2000-01-01 00:00:00.000000'"))


@pytest.mark.databases(*DATABASES)
def test_each_proposal_says_how_far_it_came_and_why_no_further(api: LiveApi, service: Service, model: str) -> None:
    job = submit(api, model, race={"picks": 1})
    work(service)
    ended = api.client.get(f"/v1/jobs/{job}").json()
    assert (ended["state"], ended["error"]) == ("succeeded", None)
    assert ended["settings"]["search"] == "racing"
    assert ended["settings"]["race"] == {"standard_errors": 2.0, "rest": 2, "picks": 1}
    proposals = listed(api, job, "proposals")
    out = [each for each in proposals if each["state"] == "raced-out"]
    assert any(each["rung"] for each in out)
    for each in out:
        assert each["reason"]
        assert not each["picked"]
        assert each["steps"] == {0: 0, 1: 1, 2: 2, 3: 4}[each["rung"]]
        assert each["filters_after"] < each["filters_before"]
        assert (each["accuracy"] is None) == (each["behind"] is None) == (each["rung"] == 0)
    for each in proposals:
        if each["state"] == "evaluated":
            assert (each["steps"], each["rung"], each["behind"]) == (STEPS, None, None)
        assert "answers" not in each
    answer = api.client.get(f"/v1/jobs/{job}/proposals", params={"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["rung"] for row in rows] == ["" if each["rung"] is None else str(each["rung"]) for each in proposals]


@pytest.mark.databases("sqlite")
def test_a_race_that_is_cut_off_ends_with_the_same_bytes_on_another_executor(
    api: LiveApi, service: Service, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = {"standard_errors": 6.0}  # so that several are left to be picked together, whatever processor trains
    undisturbed = submit(api, model, macs="65%", race=race, executor="processes")
    work(service)
    for kind, count in ((RungDone, 3), (ProposalEvaluated, 1), (CutsJoined, 1)):
        disturbed = submit(api, model, macs="65%", race=race)
        cut_off(api, service, monkeypatch, kind, count)
        assert api.client.get(f"/v1/jobs/{disturbed}").json()["state"] == "running", (kind, count)
        work(service)
        assert final_sha256(api, disturbed) == final_sha256(api, undisturbed), (kind, count)
        assert decisions(api, disturbed) == decisions(api, undisturbed), (kind, count)
        assert told_of_joining(api, disturbed) == told_of_joining(api, undisturbed), (kind, count)
    ids = {each["id"]: each["group"] for each in listed(api, undisturbed, "proposals")}
    picked = {
        each["iteration"]: [ids[one] for one in each["picked"]] for each in listed(api, undisturbed, "iterations")
    }
    tried = told_of_joining(api, undisturbed)
    assert tried
    for each in tried:
        groups = each["groups"] if each["adds_up"] else each["groups"][:1]
        assert sorted(picked[each["iteration"]]) == sorted(groups)
        assert each["steps"] == STEPS
        assert f"{each['expected']:.4f} was expected" in each["text"]


@pytest.mark.databases("sqlite")
def test_who_rests_is_found_again_in_the_record(
    api: LiveApi, service: Service, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = {"picks": 1, "rest": 1, "standard_errors": 0.5}
    undisturbed = submit(api, model, race=race)
    work(service)
    assert any(each["rung"] == 0 for each in listed(api, undisturbed, "proposals"))
    disturbed = submit(api, model, race=race)
    cut_off(api, service, monkeypatch, ControlEvaluated, 2)
    work(service)
    assert final_sha256(api, disturbed) == final_sha256(api, undisturbed)
    assert decisions(api, disturbed) == decisions(api, undisturbed)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"search": "fast"}, "/settings/search"),
        ({"race": {"standard_errors": 0}}, "/settings/race/standard_errors"),
        ({"race": {"rest": -1}}, "/settings/race/rest"),
        ({"race": {"picks": 0}}, "/settings/race/picks"),
        ({"race": {"picks": 1.5}}, "/settings/race/picks"),
        ({"race": {"rungs": 3}}, "/settings/race/rungs"),
        ({"race": 2}, "/settings/race"),
    ],
)
def test_what_is_no_race_is_refused_by_name(api: LiveApi, model: str, settings: Any, pointer: str) -> None:
    request = {"model": model, "budget": {"macs": "65%"}, "settings": {**SETTINGS, **settings}}
    answer = api.client.post("/v1/jobs", json=request)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
