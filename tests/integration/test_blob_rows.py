"""A stored file stays as long as any row needs it, on both databases."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.blobs import BlobRepository, delete_with_files, discard, sweep
from app.database import Sessions, database_now, unit_of_work
from app.jobs.records import NewJob
from app.jobs.repository import JobRepository
from app.models.repository import ModelRepository
from app.records import Caller
from app.storage import BlobVanished, Storage
from app.tables import JobValueRow, ModelRow
from tests.databases import DATABASES, migrated_sessions
from tests.rows import add_dataset_and_target, add_model


@pytest.fixture(params=DATABASES)
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sessions]:
    with migrated_sessions(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "files"))


@pytest.fixture(params=DATABASES)
def storing(request: pytest.FixtureRequest, tmp_path: Path, storage: Storage) -> Iterator[Sessions]:
    """Sessions that know where the files of their rows lie."""
    with migrated_sessions(request.param, tmp_path, storage) as made:
        yield made


def add_model_of(sessions: Sessions, model_id: str, sha256: str, *, owner: str = "ann") -> None:
    with unit_of_work(sessions) as session:
        BlobRepository(session).add_blob(sha256, 1)
        add_model(session, model_id, owner=owner)
        session.get_one(ModelRow, model_id).weights_sha256 = sha256


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
        blobs = BlobRepository(session)
        assert blobs.list_unused(older_than_s=-60) == [unused]
        assert blobs.forget_unused(weights, table, unused) == [unused]
        assert blobs.list_hashes() == {weights, table}
    with unit_of_work(sessions) as session:
        BlobRepository(session).add_blob(new, 1)
        assert BlobRepository(session).list_unused() == []


def test_a_row_is_refused_when_its_file_is_gone_by_then(storing: Sessions, storage: Storage) -> None:
    blob = storage.put(b"weights")
    storage.delete(blob.sha256)
    with pytest.raises(BlobVanished):
        add_model_of(storing, "mdl_a", blob.sha256)
    with storing() as session:
        assert session.get(ModelRow, "mdl_a") is None
        assert BlobRepository(session).list_hashes() == set()


def test_no_row_ever_names_a_file_that_a_sweep_took(storing: Sessions, storage: Storage) -> None:
    """Sweeps that spare nothing, without a pause, while four threads store the same few files again and again."""
    ended = threading.Event()

    def keep_sweeping() -> None:
        while not ended.is_set():
            sweep(storing, storage, older_than_s=-60)

    def store_and_forget(worker: int) -> None:
        for number in range(10):
            content, model_id = f"file {number % 3}".encode(), f"mdl_{worker}_{number}"
            while True:
                blob = storage.put(content)
                try:
                    add_model_of(storing, model_id, blob.sha256)
                    break
                except BlobVanished:
                    continue  # what the caller is asked to do
            assert storage.read(blob.sha256) == content
            delete_with_files(storing, storage, lambda session, gone=model_id: _delete(session, gone))

    with ThreadPoolExecutor(6) as pool:
        sweepers = [pool.submit(keep_sweeping) for _ in range(2)]
        try:
            list(pool.map(store_and_forget, range(4)))
        finally:
            ended.set()
        for sweeper in sweepers:
            sweeper.result()
    sweep(storing, storage, older_than_s=-60)
    assert [path for path in Path(storage._root).rglob("*") if path.is_file()] == []


def _delete(session, model_id: str) -> set[str]:
    return ModelRepository(session).delete_model(Caller(id="ann"), model_id)


def test_deleting_takes_the_files_along_but_for_those_that_others_need(storing: Sessions, storage: Storage) -> None:
    own, shared = storage.put(b"own"), storage.put(b"shared")
    add_model_of(storing, "mdl_a", own.sha256)
    add_model_of(storing, "mdl_b", shared.sha256)
    add_model_of(storing, "mdl_c", shared.sha256, owner="bob")
    for model_id in ("mdl_a", "mdl_b"):
        delete_with_files(storing, storage, lambda session, gone=model_id: _delete(session, gone))
    assert (storage.exists(own.sha256), storage.exists(shared.sha256)) == (False, True)


def test_what_was_sent_again_meanwhile_is_left_to_a_sweep(storing: Sessions, storage: Storage) -> None:
    with unit_of_work(storing) as session:
        before = database_now(session)
    blob = storage.put(b"weights")
    discard(storing, storage, [blob.sha256], written_before=before)
    assert storage.exists(blob.sha256)


def test_deleting_goes_through_while_the_storage_is_away(
    storing: Sessions, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    blob = storage.put(b"weights")
    add_model_of(storing, "mdl_a", blob.sha256)
    folder = Path(storage._root)
    (folder / "blobs").rename(folder / "elsewhere")
    (folder / "blobs").write_text("no folder any more")
    delete_with_files(storing, storage, lambda session: _delete(session, "mdl_a"))
    assert "left to the next sweep" in caplog.text
    (folder / "blobs").unlink()
    (folder / "elsewhere").rename(folder / "blobs")
    assert sweep(storing, storage, older_than_s=-60) == [blob.sha256]
