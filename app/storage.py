"""Blobs by their sha256, on anything that fsspec knows (a local folder by default). Whole or not at all."""

import errno
import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec.core
from fsspec.implementations.local import LocalFileSystem

CHUNK_BYTES = 1024 * 1024
PART_BYTES = 8 * CHUNK_BYTES
"""What is held in memory of a file that goes to, or comes from, a remote store; s3fs would take 50 MiB a file."""
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PATIENCE = {"connect_timeout": 5, "read_timeout": 30, "retries": {"total_max_attempts": 2}}
"""Of botocore, which waits a minute for each of five attempts; s3fs tries again on top of it."""
_OPTIONS = {"s3": {"config_kwargs": _PATIENCE}, "s3a": {"config_kwargs": _PATIENCE}}
_BLOBS, _INCOMING = "blobs", "incoming"


class StorageError(Exception):
    """Root of what goes wrong between us and the place where blobs lie."""


class StorageFull(StorageError):
    """No room to write; nothing was stored."""

    def __str__(self) -> str:
        return "the server has no room left to store this; nothing was kept, try again after space was freed"


class StorageRefused(StorageError):
    """The URL names no file system that this installation has."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"NETADAPT_STORAGE_URL cannot be used: {self.why}"


class StorageUnavailable(StorageError):
    """The place itself failed: out of reach, gone, not to be written. `why` is for the log."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return "the place where files are stored does not answer; try again in a moment"


class BlobVanished(StorageError):
    """`sha256` was swept between its writing and the row that was to name it: nothing was kept."""

    def __init__(self, sha256: str) -> None:
        super().__init__(sha256)
        self.sha256 = sha256

    def __str__(self) -> str:
        return "the same file was being removed in that moment; nothing was kept, try again"


class BlobMissing(StorageError):
    """`sha256` is not in this storage."""

    def __init__(self, sha256: str) -> None:
        super().__init__(sha256)
        self.sha256 = sha256

    def __str__(self) -> str:
        return f"the stored file {self.sha256} is missing"


@dataclass(frozen=True, kw_only=True)
class Blob:
    sha256: str
    bytes: int


@contextmanager
def room_needed() -> Iterator[None]:
    """Turns the system's "no space left" and "quota exceeded" into StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull from error
        raise


class Storage:
    """Blobs under `url`: a path, or any fsspec URL such as s3://bucket/prefix. Threads may share one.

    A blob is written under `incoming/` and moved to `blobs/ab/<sha256>`: a reader never sees half of one. (An object
    store copies and deletes; its copy appears whole or not at all too.) Write the blob first and its row after it;
    what is removed, app/blobs.py decides. Whatever the place itself does wrong is a StorageError.
    """

    def __init__(self, url: str, scratch: Path | None = None) -> None:
        """`scratch` holds copies of remote blobs while they are read; None: the system's temporary folder.

        Raises StorageRefused; OSError when a local folder cannot be made.
        """
        self._scratch = scratch
        try:
            # Remote file systems remember listings and go on believing them when another process has removed a file.
            filesystem, root = fsspec.core.url_to_fs(url, use_listings_cache=False, **_OPTIONS.get(_scheme(url), {}))
        except (ImportError, ValueError) as error:
            raise StorageRefused(str(error)) from error
        self._fs: Any = filesystem
        self._root = root.rstrip("/")
        self._local = isinstance(filesystem, LocalFileSystem)
        if self._local:
            Path(self._root).mkdir(parents=True, exist_ok=True)

    def put(self, content: bytes | Path) -> Blob:
        """Stores the bytes, or the file at that path, and says under which hash.

        What is there already is written again, so that a sweep sees it as new. Raises StorageFull.
        """
        incoming = f"{self._root}/{_INCOMING}/{secrets.token_hex(16)}"
        with self._at_work():
            self._make_parent(incoming)
            try:
                sha256, size = self._write(incoming, content)
                final = self._place(sha256)
                self._make_parent(final)
                self._move(incoming, final)
            except BaseException:
                # On a remote store the broken-off write is there too: closing a file there is what uploads it.
                with suppress(FileNotFoundError):
                    self._fs.rm_file(incoming)
                raise
        return Blob(sha256=sha256, bytes=size)

    def exists(self, sha256: str) -> bool:
        place = self._place(sha256)
        with self._at_work():
            found = bool(self._fs.exists(place))
        if not found:
            self._check_root()
        return found

    def size(self, sha256: str) -> int:
        """In bytes. Raises BlobMissing."""
        place = self._place(sha256)
        with self._at_work(sha256):
            return int(self._fs.size(place))

    def open_range(self, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes start..end (end excluded; None: to the last one), in chunks. Raises BlobMissing at the first."""
        place = self._place(sha256)
        with self._at_work(sha256), self._fs.open(place, "rb", block_size=PART_BYTES) as file:
            file.seek(start)
            left = None if end is None else end - start
            while left is None or left > 0:
                chunk = file.read(CHUNK_BYTES if left is None else min(left, CHUNK_BYTES))
                if not chunk:
                    return
                left = None if left is None else left - len(chunk)
                yield chunk

    def read(self, sha256: str) -> bytes:
        """The whole blob, for small ones. Raises BlobMissing."""
        return b"".join(self.open_range(sha256))

    @contextmanager
    def local_path(self, sha256: str) -> Iterator[Path]:
        """A path to read the blob from while the block lasts: the file itself, or a copy when it lies elsewhere.

        Raises BlobMissing.
        """
        if self._local:
            path = Path(self._place(sha256))
            if not path.is_file():
                self._check_root()
                raise BlobMissing(sha256)
            yield path
            return
        with tempfile.TemporaryDirectory(prefix="netadapt-blob-", dir=self._scratch) as folder:
            path = Path(folder) / sha256
            with room_needed(), path.open("wb") as file:
                for chunk in self.open_range(sha256):
                    file.write(chunk)
            yield path

    def delete(self, sha256: str) -> None:
        """Silent when it is not there: two may delete at once."""
        place = self._place(sha256)
        with self._at_work(), suppress(FileNotFoundError):
            self._fs.rm_file(place)

    def written_before(self, sha256: str, moment: datetime) -> bool:
        """Whether it is there, and was not written again since `moment`."""
        place = self._place(sha256)
        with self._at_work():
            return self._modified(place) < moment.timestamp()

    def list_unnamed(self, named: Collection[str], *, older_than_s: float) -> list[str]:
        """The blobs that are not among `named` and were not written lately."""
        oldest = time.time() - older_than_s
        with self._at_work():
            hashes = ((path, path.rsplit("/", 1)[-1]) for path in self._files(_BLOBS))
            return [sha256 for path, sha256 in hashes if sha256 not in named and self._modified(path) < oldest]

    def clear_incoming(self, *, older_than_s: float) -> None:
        """Removes writes that were broken off with their process."""
        oldest = time.time() - older_than_s
        with self._at_work():
            for path in self._files(_INCOMING):
                if self._modified(path) < oldest:
                    with suppress(FileNotFoundError):
                        self._fs.rm_file(path)

    def _write(self, place: str, content: bytes | Path) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with self._fs.open(place, "wb", block_size=PART_BYTES) as out:
            for chunk in _chunks(content):
                digest.update(chunk)
                size += len(chunk)
                out.write(chunk)
            if self._local:
                out.flush()
                os.fsync(out.fileno())  # or a power cut could leave a row whose file has no content
        return digest.hexdigest(), size

    def _move(self, incoming: str, final: str) -> None:
        if not self._local:
            self._fs.cp_file(incoming, final)
            self._fs.rm_file(incoming)
            return
        os.replace(incoming, final)
        folder = os.open(Path(final).parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _place(self, sha256: str) -> str:
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise ValueError(f"{sha256!r} is no sha256")
        return f"{self._root}/{_BLOBS}/{sha256[:2]}/{sha256}"

    def _make_parent(self, place: str) -> None:
        if self._local:
            Path(place).parent.mkdir(parents=True, exist_ok=True)

    def _files(self, folder: str) -> list[str]:
        return [str(path) for path in self._fs.find(f"{self._root}/{folder}")]

    def _modified(self, path: str) -> float:
        try:
            return float(self._fs.modified(path).timestamp())
        except FileNotFoundError:
            return float("inf")  # gone meanwhile: nothing left to remove

    def _check_root(self) -> None:
        """Raises StorageUnavailable when not a blob but the whole place is gone: a bucket, a mounted folder."""
        with self._at_work():
            place = self._root if self._local else self._root.split("/", 1)[0]
            if not self._fs.exists(place):
                raise StorageUnavailable(f"{place or 'the root'} is not there")

    @contextmanager
    def _at_work(self, sha256: str | None = None) -> Iterator[None]:
        """Turns what the file system raises into StorageError: BlobMissing for `sha256`, where it is read."""
        try:
            yield
        except StorageError:
            raise
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise StorageFull from error
            if sha256 is not None and isinstance(error, FileNotFoundError):
                self._check_root()
                raise BlobMissing(sha256) from error
            raise StorageUnavailable(f"{type(error).__name__}: {error}") from error
        except Exception as error:
            if self._local:
                raise  # a fault of ours; a remote store's client has errors of its own kinds
            raise StorageUnavailable(f"{type(error).__name__}: {error}") from error


def _scheme(url: str) -> str:
    return url.partition("://")[0]


def _chunks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
