"""Blobs are whole or not there, whichever file system holds them."""

import errno
import hashlib
import os
import time
import uuid
from pathlib import Path

import pytest

from app.storage import BlobMissing, Storage, StorageFull, room_needed


@pytest.fixture(params=["local", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "store") if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def test_a_blob_is_named_by_its_content_and_read_back(storage: Storage) -> None:
    blob = storage.put(b"weights")
    assert blob.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert blob.bytes == storage.size(blob.sha256) == 7
    assert storage.read(blob.sha256) == b"weights"


def test_a_file_is_stored_like_its_bytes(storage: Storage, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    assert storage.put(source) == storage.put(b"x" * 3_000_000)
    assert source.exists()


@pytest.mark.parametrize(
    ("start", "end", "expected"), [(0, 3, b"012"), (4, None, b"456789"), (8, 99, b"89"), (3, 3, b"")]
)
def test_a_range_gives_those_bytes_only(storage: Storage, start: int, end: int | None, expected: bytes) -> None:
    blob = storage.put(b"0123456789")
    assert b"".join(storage.open_range(blob.sha256, start, end)) == expected


def test_a_local_path_holds_the_blob_while_the_block_lasts(storage: Storage) -> None:
    blob = storage.put(b"weights")
    with storage.local_path(blob.sha256) as path:
        assert path.read_bytes() == b"weights"
    assert storage.exists(blob.sha256)


def test_a_missing_blob_is_said_by_name(storage: Storage) -> None:
    with pytest.raises(BlobMissing, match="aaaa"):
        storage.read("a" * 64)
    with pytest.raises(BlobMissing), storage.local_path("a" * 64):
        pass
    storage.delete("a" * 64)


def test_only_a_hash_can_name_a_blob(storage: Storage) -> None:
    with pytest.raises(ValueError, match="no sha256"):
        storage.exists("../../etc/passwd")


def test_a_sweep_removes_what_no_row_names_and_nothing_that_is_new(storage: Storage) -> None:
    kept, lost = storage.put(b"kept"), storage.put(b"lost")
    assert storage.sweep({kept.sha256}) == []
    assert storage.sweep({kept.sha256}, older_than_s=-60) == [lost.sha256]
    assert storage.exists(kept.sha256)
    assert not storage.exists(lost.sha256)


def test_a_blob_that_is_stored_again_counts_as_new(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    blob = storage.put(b"again")
    with storage.local_path(blob.sha256) as path:
        day_ago = time.time() - 86_400
        os.utime(path, (day_ago, day_ago))
    storage.put(b"again")
    assert storage.sweep(set()) == []


def test_a_write_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path))

    def no_room(source: str, destination: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage._fs, "mv", no_room)
    with pytest.raises(StorageFull, match="no room"):
        storage.put(b"weights")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_other_errors_of_the_disk_stay_what_they_are() -> None:
    with pytest.raises(PermissionError), room_needed():
        raise PermissionError(errno.EACCES, "no")
