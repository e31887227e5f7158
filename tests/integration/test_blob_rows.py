"""A stored file stays as long as any row needs it, on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.blobs import BlobRepository
from app.database import Sessions, database_now, unit_of_work
from app.jobs.records import NewJob
from app.jobs.repository import JobRepository
from app.records import Caller
from app.tables import JobValueRow, ModelRow
from tests.databases import DATABASES, migrated_sessions
from tests.rows import add_dataset_and_target, add_model


@pytest.fixture(params=DATABASES)
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sessions]:
    with migrated_sessions(request.param, tmp_path) as made:
        yield made


def test_only_what_nothing_points_at_is_forgotten(sessions: Sessions) -> None:
    weights, table, unused, new = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
    with unit_of_work(sessions) as session:
        blobs = BlobRepository(session)
        for sha256 in (weights, table, unused, weights):
            blobs.add_blob(sha256, 1)
        add_model(session)
        session.get_one(ModelRow, "mdl_a").weights_sha256 = weights
        add_dataset_and_target(session)
        job = JobRepository(session).add_job(
            Caller(id="ann"),
            NewJob(name=None, model_id="mdl_a", dataset_id="dst_a", target_id="tgt_a", budget={}, settings={}),
        )
        now = database_now(session)
        session.add(JobValueRow(job_id=job.id, key="table", value={"sha256": table}, created_at=now))
        session.add(JobValueRow(job_id=job.id, key="other", value={"figure": 1}, created_at=now))
    with unit_of_work(sessions) as session:
        BlobRepository(session).forget_unreferenced(older_than_s=-60)
        assert BlobRepository(session).list_hashes() == {weights, table}
    with unit_of_work(sessions) as session:
        BlobRepository(session).add_blob(new, 1)
        BlobRepository(session).forget_unreferenced()
        assert new in BlobRepository(session).list_hashes()
