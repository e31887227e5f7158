"""What a lane does beside its work: it looks without locking, and settles what no worker can do."""

import threading
from pathlib import Path

from app.database import migrate, reading, unit_of_work
from app.models.repository import CHECK_TASK, ModelRepository
from app.records import Caller
from app.settings import Settings
from app.tasks.queue import MAX_ATTEMPTS, TaskQueue
from tests.rows import add_model
from workers import lane
from workers.service import open_service


def test_a_model_whose_check_ended_every_worker_is_refused_though_other_work_waits(tmp_path: Path, monkeypatch):
    settings = Settings(data_dir=tmp_path)
    migrate(settings.database_url)
    done = []
    monkeypatch.setattr(lane, "run_task", lambda claimed, service, shutdown: done.append(claimed.kind))
    with open_service(settings, "short", 7) as service:
        with unit_of_work(service.sessions) as session:
            add_model(session, state="checking")
            TaskQueue(session).enqueue_task("ann", CHECK_TASK, "mdl_a", {})
        for _ in range(MAX_ATTEMPTS):
            with unit_of_work(service.sessions) as session:
                assert TaskQueue(session).claim_next_task("w", lease_s=-1) is not None  # its worker died
        with unit_of_work(service.sessions) as session:
            TaskQueue(session).enqueue_task("ann", "profile", "x", {})
        assert lane._serve_task("short", service, threading.Event())
        assert not lane._serve_task("short", service, threading.Event())
        with reading(service.sessions) as session:
            model = ModelRepository(session).get_model(Caller(id="ann"), "mdl_a")
    assert (done, model.state) == (["profile"], "refused")
