"""Blobs are whole or not there, whichever file system holds them."""

import errno
import hashlib
import os
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.storage import BlobMissing, Storage, StorageFull, StorageRefused, StorageUnavailable, room_needed


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


def test_what_no_row_names_is_listed_once_it_is_old(storage: Storage) -> None:
    kept, lost = storage.put(b"kept"), storage.put(b"lost")
    assert storage.list_unnamed({kept.sha256}, older_than_s=3600) == []
    assert storage.list_unnamed({kept.sha256}, older_than_s=-60) == [lost.sha256]
    storage.delete(lost.sha256)
    assert (storage.exists(kept.sha256), storage.exists(lost.sha256)) == (True, False)


def test_a_blob_that_is_stored_again_counts_as_new(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    blob = storage.put(b"again")
    with storage.local_path(blob.sha256) as path:
        day_ago = time.time() - 86_400
        os.utime(path, (day_ago, day_ago))
    later = datetime.now(UTC) - timedelta(hours=1)
    assert storage.written_before(blob.sha256, later)
    storage.put(b"again")
    assert storage.list_unnamed(set(), older_than_s=3600) == []
    assert not storage.written_before(blob.sha256, later)


def test_a_write_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path))

    def no_room(source: str, destination: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", no_room)
    with pytest.raises(StorageFull, match="no room"):
        storage.put(b"weights")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_write_that_was_killed_is_cleared_away_once_it_is_old(storage: Storage) -> None:
    broken_off = f"{storage._root}/incoming/{'0' * 32}"
    storage._make_parent(broken_off)
    storage._fs.pipe_file(broken_off, b"half")
    storage.clear_incoming(older_than_s=3600)
    assert storage._fs.exists(broken_off)
    storage.clear_incoming(older_than_s=-60)
    assert not storage._fs.exists(broken_off)


def test_a_disk_that_fails_is_said_without_its_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path))
    blob = storage.put(b"weights")

    def broken(source: str, destination: str) -> None:
        raise OSError(errno.EIO, "Input/output error", source)

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(StorageUnavailable) as failed:
        storage.put(b"others")
    assert "Input/output error" in failed.value.why
    assert str(tmp_path) not in str(failed.value)
    assert storage.read(blob.sha256) == b"weights"


def test_a_folder_that_is_gone_is_no_missing_blob(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "mounted"))
    blob = storage.put(b"weights")
    (tmp_path / "mounted").rename(tmp_path / "elsewhere")
    for use in (storage.read, storage.exists, storage.size):
        with pytest.raises(StorageUnavailable):
            use(blob.sha256)
    with pytest.raises(StorageUnavailable), storage.local_path(blob.sha256):
        pass


def test_a_url_of_an_unknown_kind_is_refused_by_its_setting() -> None:
    with pytest.raises(StorageRefused, match="NETADAPT_STORAGE_URL"):
        Storage("nonsense://bucket")


def test_other_errors_of_the_disk_stay_what_they_are() -> None:
    with pytest.raises(PermissionError), room_needed():
        raise PermissionError(errno.EACCES, "no")
