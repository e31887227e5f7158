"""What is old goes where the operator says so, and never what somebody still needs; on both databases."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from app import retention
from app.blobs import BlobRepository
from app.database import Sessions, database_now, unit_of_work
from app.jobs.records import NewJob
from app.jobs.repository import JobRepository
from app.records import Caller
from app.retention import forget_expired, remove_old
from app.storage import Storage
from app.tables import (
    CheckpointFileRow,
    CheckpointRow,
    DatasetRow,
    EventRow,
    IdempotencyKeyRow,
    JobRow,
    ModelRow,
    SessionRow,
    TaskRow,
    TokenRow,
)
from app.tasks.queue import TaskQueue
from tests.databases import DATABASES, migrated_sessions
from tests.rows import add_dataset_and_target, add_model

ANN = Caller(id="ann")
NEW = NewJob(name=None, model_id="mdl_a", dataset_id="dst_a", target_id="tgt_a", budget={}, settings={})
OLD = timedelta(days=40)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "files"))


@pytest.fixture(params=DATABASES)
def sessions(request: pytest.FixtureRequest, tmp_path: Path, storage: Storage) -> Iterator[Sessions]:
    with migrated_sessions(request.param, tmp_path, storage) as made:
        with unit_of_work(made) as session:
            add_dataset_and_target(session)
            add_model(session)
        yield made


def add_job(sessions: Sessions, state: str, *, age: timedelta = OLD, continues: str | None = None) -> str:
    with unit_of_work(sessions) as session:
        job_id = JobRepository(session).add_job(ANN, replace(NEW, continues=continues)).id
        then = database_now(session) - age
        over = {} if state in {"queued", "running", "paused"} else {"finished_at": then}
        session.execute(update(JobRow).where(JobRow.id == job_id).values(state=state, created_at=then, **over))
    return job_id


def make_old(sessions: Sessions, row_type: type[ModelRow] | type[DatasetRow], id_: str) -> None:
    with unit_of_work(sessions) as session:
        then = database_now(session) - OLD
        session.execute(update(row_type).where(row_type.id == id_).values(created_at=then))


def add_checkpoint(sessions: Sessions, storage: Storage, job_id: str, content: bytes) -> str:
    blob = storage.put(content)
    with unit_of_work(sessions) as session:
        BlobRepository(session).add_blob(blob.sha256, blob.bytes)
        session.add(
            CheckpointRow(
                job_id=job_id,
                checkpoint="0",
                number=1,
                kind="original",
                iteration=0,
                filters={},
                created_at=database_now(session),
                files=[CheckpointFileRow(format="onnx", bytes=blob.bytes, sha256=blob.sha256)],
            )
        )
    return blob.sha256


def apply(sessions: Sessions, storage: Storage, *, jobs: float | None = None, unused: float | None = None) -> None:
    while remove_old(sessions, storage, keep_jobs_days=jobs, keep_unused_days=unused):
        pass


def ids(sessions: Sessions, row_type: type) -> set[str]:
    with sessions() as session:
        return set(session.scalars(select(row_type.id)))


def test_by_default_nothing_goes_however_old_it_is(sessions: Sessions, storage: Storage) -> None:
    job_id = add_job(sessions, "succeeded", age=timedelta(days=4000))
    make_old(sessions, ModelRow, "mdl_a")
    apply(sessions, storage)
    assert ids(sessions, JobRow) == {job_id}
    assert ids(sessions, ModelRow) == {"mdl_a"}


def test_jobs_that_are_over_for_so_long_go_with_their_events_and_files(sessions: Sessions, storage: Storage) -> None:
    gone = [add_job(sessions, state) for state in ("succeeded", "failed", "cancelled")]
    kept = {add_job(sessions, state) for state in ("queued", "running", "paused")}
    kept.add(add_job(sessions, "succeeded", age=timedelta(days=20)))
    file = add_checkpoint(sessions, storage, gone[0], b"an old checkpoint")
    apply(sessions, storage, jobs=30)
    assert ids(sessions, JobRow) == kept
    assert not storage.exists(file)
    with sessions() as session:
        assert set(session.scalars(select(EventRow.job_id))) == kept
        assert session.scalars(select(CheckpointRow.id)).all() == []


def test_a_job_that_another_goes_on_from_stays_until_that_one_is_over(sessions: Sessions, storage: Storage) -> None:
    first = add_job(sessions, "succeeded")
    second = add_job(sessions, "paused", continues=first)
    apply(sessions, storage, jobs=30)
    assert ids(sessions, JobRow) == {first, second}
    with unit_of_work(sessions) as session:
        session.execute(update(JobRow).where(JobRow.id == second).values(state="cancelled"))
    apply(sessions, storage, jobs=30)
    assert ids(sessions, JobRow) == {second}


def test_models_and_data_sets_that_no_job_uses_go(sessions: Sessions, storage: Storage) -> None:
    with unit_of_work(sessions) as session:
        for model_id, state in (("mdl_unused", "ready"), ("mdl_checking", "checking"), ("mdl_new", "ready")):
            add_model(session, model_id, state=state)
    add_job(sessions, "queued")
    for model_id in ("mdl_a", "mdl_unused", "mdl_checking"):
        make_old(sessions, ModelRow, model_id)
    make_old(sessions, DatasetRow, "dst_a")
    make_old(sessions, DatasetRow, "digits")
    apply(sessions, storage, unused=30)
    assert ids(sessions, ModelRow) == {"mdl_a", "mdl_checking", "mdl_new"}
    assert ids(sessions, DatasetRow) == {"dst_a", "digits"}


def test_what_only_old_jobs_used_goes_with_them(sessions: Sessions, storage: Storage) -> None:
    add_job(sessions, "succeeded")
    make_old(sessions, ModelRow, "mdl_a")
    make_old(sessions, DatasetRow, "dst_a")
    apply(sessions, storage, jobs=30, unused=30)
    assert (ids(sessions, JobRow), ids(sessions, ModelRow), ids(sessions, DatasetRow)) == (set(), set(), {"digits"})


def test_it_is_done_little_by_little_and_told_in_the_log(
    sessions: Sessions, storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    caplog.set_level("INFO")
    for _ in range(5):
        add_job(sessions, "failed")
    left = []
    while remove_old(sessions, storage, keep_jobs_days=30, keep_unused_days=None):
        left.append(len(ids(sessions, JobRow)))
    assert left == [3, 1, 0]
    assert "retention: 2 jobs older than 30 days removed" in caplog.text


def test_rows_that_ran_out_are_forgotten(sessions: Sessions) -> None:
    with unit_of_work(sessions) as session:
        now = database_now(session)
        session.add(TokenRow(id="tok_a", hash="a" * 64, owner="ann", role="user", created_at=now))
        session.flush()
        for hash_, hours in (("b" * 64, -1), ("c" * 64, 1)):
            expires = now + timedelta(hours=hours)
            session.add(SessionRow(hash=hash_, owner="ann", token_id="tok_a", created_at=now, expires_at=expires))
        for key, hours in (("old", 25), ("new", 1)):
            created = now - timedelta(hours=hours)
            values = {"method": "POST", "path": "/v1/jobs", "status": 202, "body": b"{}", "created_at": created}
            session.add(IdempotencyKeyRow(owner="ann", key=key, **values))
    forget_expired(sessions)
    with sessions() as session:
        assert session.scalars(select(SessionRow.hash)).all() == ["c" * 64]
        assert session.scalars(select(IdempotencyKeyRow.key)).all() == ["new"]


def test_of_tasks_that_are_over_the_newest_of_its_kind_and_key_stays(sessions: Sessions) -> None:
    with unit_of_work(sessions) as session:
        now = database_now(session)
        for task_id, key, state, days in (
            ("tsk_1", "m", "succeeded", 3),
            ("tsk_2", "m", "failed", 2),
            ("tsk_3", "m", "queued", 0),
            ("tsk_4", "only", "succeeded", 300),
        ):
            then = now - timedelta(days=days)
            finished = then if state in {"succeeded", "failed"} else None
            common = {"owner": "ann", "kind": "profile", "lane": "short", "payload": {}}
            session.add(TaskRow(id=task_id, key=key, state=state, created_at=then, finished_at=finished, **common))
    forget_expired(sessions)
    assert ids(sessions, TaskRow) == {"tsk_3", "tsk_4"}
    with sessions() as session:
        found = TaskQueue(session).find_latest("profile", "only")
        assert found is not None
        assert found.state == "succeeded"
