"""Jobs over HTTP on a small network, worked on by a real worker in this process, which can be cut off."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from adapt.errors import Stopped
from adapt.events import EpochDone
from app.database import unit_of_work
from app.jobs.queue import JobQueue
from app.tasks.queue import TaskQueue
from tests.live_api import LiveApi, live_api
from tests.trained import trained_pt2
from workers import adaptation, recording
from workers.adaptation import run_job
from workers.service import Service
from workers.tasks import run_task

SETTINGS = {
    "preset": "quick",
    "short_term_steps": 2,
    "long_term_epochs": 2,
    "executor": "serial",
    "schedule": {"initial": 0.15, "decay": 1.0},
}


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """`model` is the id of a small network that a worker has checked."""

    api: LiveApi
    service: Service
    model: str


@contextmanager
def workshop(folder: Path) -> Iterator[Workshop]:
    with live_api(folder) as api:
        service = Service(
            sessions=api.services.sessions,
            storage=api.services.storage,
            settings=api.services.settings,
            lock_directory=api.folder / "lock",
            worker_id="test",
        )
        answer = api.client.post("/v1/models", files={"file": ("net.pt2", trained_pt2())})
        assert answer.status_code == 201, answer.text
        with unit_of_work(service.sessions) as session:
            task = TaskQueue(session).claim_next_task("test", lease_s=30)
        assert task is not None
        run_task(task, service, shutdown=lambda: False)
        yield Workshop(api=api, service=service, model=answer.json()["id"])


def submit(api: LiveApi, model: str, budget: dict[str, Any] | None = None, **settings: object) -> str:
    body = {"model": model, "name": "small", "budget": budget or {"macs": "55%"}, "settings": SETTINGS | settings}
    answer = api.client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["id"]
    return job


def work(service: Service, shutdown: Callable[[], bool] = lambda: False) -> None:
    with unit_of_work(service.sessions) as session:
        claimed = JobQueue(session).claim_next_job("test", lease_s=30)
    assert claimed is not None
    run_job(claimed, service, shutdown)


def job_of(api: LiveApi, job: str) -> dict[str, Any]:
    document: dict[str, Any] = api.client.get(f"/v1/jobs/{job}").json()
    return document


def members_of(api: LiveApi, job: str) -> list[dict[str, Any]]:
    members: list[dict[str, Any]] = api.client.get(f"/v1/jobs/{job}/family", params={"limit": 500}).json()["data"]
    return members


def checkpoints(api: LiveApi, job: str) -> dict[str, dict[str, Any]]:
    listed = api.client.get(f"/v1/jobs/{job}/checkpoints", params={"limit": 500}).json()["data"]
    return {each["checkpoint"]: each for each in listed}


def file_of(api: LiveApi, job: str, checkpoint: str = "final") -> bytes:
    answer = api.client.get(f"/v1/jobs/{job}/checkpoints/{checkpoint}/file", params={"format": "safetensors"})
    assert answer.status_code == 200, answer.text
    return answer.content


def cut_off_after(monkeypatch: pytest.MonkeyPatch, count: int, kind: type = EpochDone) -> None:
    """That many events of `kind` are recorded, and then the worker is gone."""

    class CutOff(recording.Recording):
        seen = 0

        def write(self, event: Any) -> None:
            super().write(event)
            self.seen += isinstance(event, kind)
            if self.seen == count and isinstance(event, kind):
                raise Stopped("the worker is gone")

    monkeypatch.setattr(adaptation, "Recording", CutOff)


def run_out_of_lease(service: Service) -> None:
    with unit_of_work(service.sessions) as session:
        session.execute(text("UPDATE jobs SET lease_expires_at = '2000-01-01 00:00:00.000000'"))
