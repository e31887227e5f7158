"""Files in an object store: the same promises as in a folder, and errors of its own that are said the same way."""

import hashlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.blobs import BlobRepository, sweep
from app.database import database_now, unit_of_work
from app.storage import BlobMissing, Storage, StorageUnavailable
from app.tables import CheckpointFileRow, CheckpointRow, DatasetRow, JobRow
from tests.live_api import LiveApi, live_api
from tests.rows import add_model
from tests.s3 import ObjectStore, object_store

LARGE = np.random.default_rng(0).bytes(20_000_000)  # several parts of a multipart upload


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as store:
        yield store


@pytest.fixture
def storage(store: ObjectStore, tmp_path: Path) -> Storage:
    return Storage(store.url, tmp_path)


def test_a_blob_is_stored_under_its_hash_and_read_back_whole_and_in_ranges(
    storage: Storage, store: ObjectStore, tmp_path: Path
) -> None:
    source = tmp_path / "large"
    source.write_bytes(LARGE)
    blob = storage.put(source)
    assert blob.sha256 == hashlib.sha256(LARGE).hexdigest()
    assert storage.size(blob.sha256) == len(LARGE)
    assert b"".join(storage.open_range(blob.sha256, 7_999_990, 8_000_010)) == LARGE[7_999_990:8_000_010]
    assert b"".join(storage.open_range(blob.sha256, 19_999_999, 99_000_000)) == LARGE[-1:]
    with storage.local_path(blob.sha256) as path:
        assert path.read_bytes() == LARGE
        assert path.is_relative_to(tmp_path)
    assert not path.exists()
    assert store.objects() == {f"kept/blobs/{blob.sha256[:2]}/{blob.sha256}"}
    storage.delete(blob.sha256)
    storage.delete(blob.sha256)
    assert store.objects() == set()


def test_a_write_that_breaks_off_in_the_middle_leaves_nothing(
    storage: Storage, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "large"
    source.write_bytes(LARGE)

    def cut_off(incoming: str, final: str) -> None:
        raise ConnectionResetError("the line is cut")

    monkeypatch.setattr(storage._fs, "cp_file", cut_off)
    with pytest.raises(StorageUnavailable):
        storage.put(source)
    assert store.objects() == set()


def test_somebody_who_reads_meanwhile_sees_nothing_or_all(storage: Storage) -> None:
    content = LARGE[:12_000_000]
    sha256, ended, seen = hashlib.sha256(content).hexdigest(), threading.Event(), set()

    def read_on() -> None:
        while not ended.is_set():
            try:
                seen.add(hashlib.sha256(storage.read(sha256)).hexdigest())
            except BlobMissing:
                continue

    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        storage.put(content)
    finally:
        ended.set()
        reader.join()
    assert seen <= {sha256}
    assert storage.read(sha256) == content
    storage.delete(sha256)


def test_what_no_row_names_is_swept_and_what_another_process_removed_is_missed_at_once(
    storage: Storage, store: ObjectStore
) -> None:
    kept, lost = storage.put(b"kept"), storage.put(b"lost")
    assert storage.list_unnamed({kept.sha256}, older_than_s=-3600) == [lost.sha256]
    assert storage.list_unnamed({kept.sha256}, older_than_s=3600) == []
    assert storage.exists(lost.sha256)
    store.remove(f"kept/blobs/{lost.sha256[:2]}/{lost.sha256}")
    assert not storage.exists(lost.sha256)
    with pytest.raises(BlobMissing):
        storage.read(lost.sha256)
    storage.delete(kept.sha256)


def test_an_upload_goes_there_and_comes_back_over_http(store: ObjectStore, tmp_path: Path) -> None:
    with live_api(tmp_path, storage_url=store.url) as api:
        dataset = upload(api, LARGE)
        assert f"kept/blobs/{dataset['sha256'][:2]}/{dataset['sha256']}" in store.objects()
        file = add_checkpoint(api, LARGE)
        whole = api.client.get(file)
        assert (whole.status_code, whole.content == LARGE, whole.headers["content-length"]) == (200, True, "20000000")
        part = api.client.get(file, headers={"Range": "bytes=9000000-9000009"})
        assert (part.status_code, part.content) == (206, LARGE[9_000_000:9_000_010])
        assert api.client.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
        assert api.client.delete("/v1/jobs/job_a").status_code == 204
        assert store.objects() == set()
        assert [path for path in api.services.scratch.rglob("*") if path.is_file()] == []


def test_a_store_that_is_away_is_503_and_changes_nothing(tmp_path: Path) -> None:
    with object_store() as store, live_api(tmp_path, storage_url=store.url) as api:
        file = add_checkpoint(api, b"a checkpoint")
        store.remove_bucket()
        check_unavailable(api, file)
        store.make_bucket()
        missing = api.client.get(file)
        assert (missing.status_code, missing.json()["type"]) == (503, "urn:netadapt:problem:file-missing")
        assert upload(api, b"once more")["state"] == "ready"
        store.server.stop()
        check_unavailable(api, file)
        with unit_of_work(api.services.sessions) as session:
            assert len(BlobRepository(session).list_hashes()) > 0


def check_unavailable(api: LiveApi, file: str) -> None:
    for answer in (api.client.get(file), post(api, b"while it is away")):
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:netadapt:problem:storage-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert "netadapt/kept" not in answer.text  # where it lies is nobody's business
    assert api.client.get("/v1/jobs").status_code == 200
    with pytest.raises(StorageUnavailable):
        sweep(api.services.sessions, api.services.storage)


def post(api: LiveApi, content: bytes) -> httpx.Response:
    """An upload of images that only this content gives."""
    pixels = np.frombuffer(hashlib.sha256(content).digest() * 200, dtype=np.uint8).reshape(100, 8, 8, 1)
    buffer = _npz(pixels)
    return api.client.post("/v1/datasets", files={"file": ("images.npz", buffer)})


def upload(api: LiveApi, content: bytes) -> dict:
    answer = post(api, content)
    assert answer.status_code == 201, answer.text
    with unit_of_work(api.services.sessions) as session:
        return {**answer.json(), "sha256": session.get_one(DatasetRow, answer.json()["id"]).sha256}


def _npz(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x_train=pixels, y_train=np.arange(len(pixels)) % 4)
    return buffer.getvalue()


def add_checkpoint(api: LiveApi, content: bytes) -> str:
    """A job of ann's that is over, with one file; where it is downloaded."""
    blob = api.services.storage.put(content)
    with unit_of_work(api.services.sessions) as session:
        BlobRepository(session).add_blob(blob.sha256, blob.bytes)
        add_model(session, "mdl_a")
        now = database_now(session)
        session.add(
            JobRow(
                id="job_a",
                owner="ann",
                state="succeeded",
                model_id="mdl_a",
                dataset_id="digits",
                target_id="local",
                budget={},
                settings={},
                lane="long",
                created_at=now,
                finished_at=now,
            )
        )
        session.flush()
        files = [CheckpointFileRow(format="onnx", bytes=blob.bytes, sha256=blob.sha256)]
        session.add(
            CheckpointRow(
                job_id="job_a",
                checkpoint="0",
                number=1,
                kind="original",
                iteration=0,
                filters={},
                created_at=now,
                files=files,
            )
        )
    return "/v1/jobs/job_a/checkpoints/0/file?format=onnx"
