"""A database of every earlier version, with data in it, brought to this one: all of it is there and can be used."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import MetaData, func, select

from app.auth import TokenRepository
from app.blobs import BlobRepository
from app.database import (
    Sessions,
    _alembic_config,
    _known_revisions,
    check_migrated,
    make_engine,
    make_sessions,
    migrate,
    reading,
    unit_of_work,
)
from app.datasets.repository import DatasetRepository
from app.idempotency import Answer, KeyedRequest, answer_once
from app.jobs.history import JobHistory
from app.jobs.queue import JobQueue
from app.jobs.recorder import JobRecorder
from app.jobs.repository import JobRepository
from app.jobs.resume import load_progress
from app.models.repository import ModelRepository
from app.records import Caller
from app.targets.lookup import LookupRepository
from app.targets.repository import TargetRepository
from app.tasks.queue import TaskQueue
from tests.databases import DATABASES, empty_database
from tests.old_rows import EPOCH, GROUP, IMAGES, LATENCY, PICK, SCORES, THEN, WEIGHTS, fill, filled_tables

ANN = Caller(id="ann")


def versions() -> list[str]:
    """Oldest first, this one too: the rows that are filled in must fit the newest tables as well."""
    with _alembic_config() as config:
        return sorted(_known_revisions(config)[0])


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with empty_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture(params=versions())
def upgraded(request: pytest.FixtureRequest, url: str) -> Iterator[Sessions]:
    """A database that was filled at that version."""
    engine = make_engine(url)
    try:
        with _alembic_config() as config, engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, request.param)
            connection.commit()
            before = fill(connection)
            counts = _count(connection, before)
        migrate(url)
        check_migrated(engine)
        with engine.connect() as connection:
            after = _count(connection, before)
            builtin = 1 if request.param == "0001" else 0  # `digits` and `local` came with 0002
            expected = counts | {name: counts[name] + builtin for name in ("datasets", "targets")}
            if request.param < "0007":  # no version before it sent any
                expected["webhook_deliveries"] = 0
            assert after == expected
        yield make_sessions(engine)
    finally:
        engine.dispose()


def _count(connection, names) -> dict[str, int]:
    metadata = MetaData()
    metadata.reflect(connection)
    found = {
        name: connection.execute(select(func.count()).select_from(metadata.tables[name])).scalar_one() for name in names
    }
    connection.rollback()
    return found


def test_every_row_of_before_is_read_worked_on_and_deleted(upgraded: Sessions) -> None:
    with reading(upgraded) as session:
        _check_material(session)
        _check_job(session)
        assert [token.name for token in TokenRepository(session).list_tokens()] == ["mine"]
        assert BlobRepository(session).list_hashes() == {WEIGHTS, PICK, EPOCH, IMAGES}
    _go_on(upgraded)
    keyed = KeyedRequest(caller=ANN, method="POST", path="/v1/jobs", key="k", content_hash="1" * 64)
    answer = answer_once(upgraded, keyed, lambda: Answer(status=500, document={}, headers={}))
    assert (answer.status, answer.document, answer.headers) == (
        202,
        {"id": "job_old"},
        {"Location": "/v1/jobs/job_old"},
    )
    with unit_of_work(upgraded) as session:
        jobs = JobRepository(session)
        assert jobs.delete_job(ANN, "job_old") == {PICK, EPOCH}
        assert jobs.delete_job(ANN, "job_next") == set()
        assert ModelRepository(session).delete_model(ANN, "mdl_old") == {WEIGHTS}
        assert DatasetRepository(session).delete_dataset(ANN, "dst_old") == {IMAGES}
        TargetRepository(session).delete_target(ANN, "tgt_old")
    with unit_of_work(upgraded) as session:
        everything = {WEIGHTS, PICK, EPOCH, IMAGES}
        assert set(BlobRepository(session).list_unused()) == everything
        assert set(BlobRepository(session).forget_unused(*everything)) == everything


def _check_material(session) -> None:
    model = ModelRepository(session).get_model(ANN, "mdl_old")
    assert (model.name, model.state, model.weights_sha256, model.memory_bytes) == ("of before", "ready", WEIGHTS, 30)
    assert model.created_at == THEN
    groups = ModelRepository(session).get_structure(ANN, "mdl_old").groups
    assert groups is not None
    assert groups[0].id == GROUP
    dataset = DatasetRepository(session).get_dataset(ANN, "dst_old")
    assert (dataset.classes, dataset.sha256, dataset.report) == (("a", "b"), IMAGES, {"notes": ["as it was"]})
    target = TargetRepository(session).get_target(ANN, "tgt_old")
    assert (target.kind, target.provider_options) == ("table", {})
    table = LookupRepository(session).find_table("tgt_old")
    assert table is not None
    assert (table.calibration, [(entry.operator, entry.ms) for entry in table.entries]) == (1.25, [("conv", 1.5)])
    task = TaskQueue(session).find_latest("model-check", "mdl_old")
    assert task is not None
    assert task.result == {"found": 1}


def _check_job(session) -> None:
    job = JobRepository(session).get_job(ANN, "job_old")
    assert (job.state, job.settings, job.finished_at) == ("succeeded", {"preset": "quick"}, THEN)
    assert job.result is not None
    assert job.result.latency_ms.measured == LATENCY["measured"]
    history = JobHistory(session)
    assert [event.data for event in history.list_events(ANN, "job_old", after=0, limit=9)[1].items] == [
        {"text": "of before"}
    ]
    (proposal,) = history.list_proposals(ANN, "job_old", after=0, limit=9).items
    assert proposal.holdout_images == SCORES["holdout"]["images"]
    assert (proposal.group, proposal.kept, proposal.further, proposal.picked) == (GROUP, (0, 1), {}, True)
    (checkpoint,) = history.list_checkpoints(ANN, "job_old", after=0, limit=9).items
    assert [(file.format, file.sha256) for file in checkpoint.files] == [("safetensors", PICK)]
    record = load_progress(session, "job_old")
    assert record.finished[0].kept == {GROUP: (0, 1)}
    assert (record.measurements, record.values) == ({"0": {"ms": 2.5}}, {"original": SCORES})
    assert record.epoch_state is not None
    assert record.epoch_state.sha256 == EPOCH


def _go_on(sessions: Sessions) -> None:
    """The job that waited is claimed, tells its events on from where it was, and ends."""
    with unit_of_work(sessions) as session:
        claimed = JobQueue(session).claim_next_job("w", lease_s=60, instruction_set="avx2")
        assert claimed is not None
        JobRecorder(session).add_message(claimed, "goes on")
        JobRecorder(session).finish(claimed, "cancelled")
    with reading(sessions) as session:
        job, page = JobHistory(session).list_events(ANN, "job_next", after=0, limit=9)
    assert (job.continues, [event.number for event in page.items]) == ("job_old", [1, 2, 3, 4])


def test_rows_are_there_for_every_table(url: str) -> None:
    migrate(url)
    engine = make_engine(url)
    metadata = MetaData()
    metadata.reflect(engine)
    engine.dispose()
    assert set(metadata.tables) - {"alembic_version"} == filled_tables()
