"""What a worker logs names the work that it belongs to, whichever thread wrote it."""

import json
import logging
import threading
from pathlib import Path

import pytest

from app.database import migrate, unit_of_work
from app.jobs.records import NewJob
from app.jobs.repository import JobRepository
from app.logs import make_formatter
from app.records import Caller
from app.settings import Settings
from app.tasks.queue import TaskQueue
from tests.rows import add_dataset_and_target, add_model
from workers import lane
from workers.lease import StopSignal, held_lease
from workers.service import open_service

log = logging.getLogger("adapt.somewhere")


@pytest.fixture(name="lines")
def _lines():
    written: list[dict] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(json.loads(self.format(record)))

    handler, root = Lines(), logging.getLogger()
    handler.setFormatter(make_formatter("json"))
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.INFO)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)


def work_and_log(claimed, service, shutdown):
    """As a job or task does: training logs in its own thread, the lease in another."""
    failed = threading.Event()

    def renew():
        failed.set()
        raise RuntimeError("the database is away")

    with held_lease(renew, StopSignal(shutdown), lease_s=0.03):
        log.info("training")
        assert failed.wait(30)


@pytest.mark.parametrize(
    ("serve", "doer", "id_"), [("_serve_job", "run_job", "job_id"), ("_serve_task", "run_task", "task_id")]
)
def test_every_line_has_the_ids_of_its_worker_and_its_work(tmp_path: Path, monkeypatch, lines, serve, doer, id_):
    settings = Settings(data_dir=tmp_path)
    migrate(settings.database_url)
    monkeypatch.setattr(lane, doer, work_and_log)
    with open_service(settings, "long", 7) as service:
        with unit_of_work(service.sessions) as session:
            add_dataset_and_target(session)
            add_model(session)
            new = NewJob(
                name=None, model_id="mdl_a", dataset_id="dst_a", target_id="tgt_a", budget={"macs": 1}, settings={}
            )
            job = JobRepository(session).add_job(Caller(id="ann"), new)
            task = TaskQueue(session).enqueue_task("ann", "profile", "x", {})
        which = ("short",) if serve == "_serve_task" else ()
        assert getattr(lane, serve)(*which, service, threading.Event())
    work = {"job_id": job.id, "task_id": task.id}[id_]
    of_work = [line for line in lines if line["logger"] in {"adapt.somewhere", "workers.lane", "workers.lease"}]
    assert {line["logger"] for line in of_work} == {"adapt.somewhere", "workers.lane", "workers.lease"}
    assert {line.get(id_) for line in of_work} == {work}
    assert {line["worker_id"].split(":", 1)[1] for line in of_work} == {"long:7"}
