"""Blobs by their sha256, on anything that fsspec knows (a local folder by default). Whole or not at all."""

import errno
import hashlib
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
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BLOBS, _INCOMING = "blobs", "incoming"


class StorageError(Exception):
    """Root of what goes wrong between us and the place where blobs lie."""


class StorageFull(StorageError):
    """No room to write; nothing was stored."""

    def __str__(self) -> str:
        return "the server has no room left to store this; nothing was kept, try again after space was freed"


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

    A blob is written under `incoming/` and moved to `blobs/ab/<sha256>`: a reader never sees half of one. Write the
    blob first and its row after it. `sweep` removes what no row names.
    """

    def __init__(self, url: str) -> None:
        filesystem, root = fsspec.core.url_to_fs(url)
        self._fs: Any = filesystem
        self._root = root.rstrip("/")
        self._local = isinstance(filesystem, LocalFileSystem)

    def put(self, content: bytes | Path) -> Blob:
        """Stores the bytes, or the file at that path, and says under which hash.

        What is there already is written again, so that a sweep sees it as new. Raises StorageFull.
        """
        incoming = f"{self._root}/{_INCOMING}/{secrets.token_hex(16)}"
        with room_needed():
            self._make_parent(incoming)
            try:
                sha256, size = self._write(incoming, content)
                final = self._place(sha256)
                self._make_parent(final)
                self._fs.mv(incoming, final)
            except BaseException:
                with suppress(FileNotFoundError):
                    self._fs.rm_file(incoming)
                raise
        return Blob(sha256=sha256, bytes=size)

    def exists(self, sha256: str) -> bool:
        return bool(self._fs.exists(self._place(sha256)))

    def size(self, sha256: str) -> int:
        """In bytes. Raises BlobMissing."""
        with self._missing(sha256):
            return int(self._fs.size(self._place(sha256)))

    def open_range(self, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes start..end (end excluded; None: to the last one), in chunks. Raises BlobMissing at the first."""
        with self._missing(sha256), self._fs.open(self._place(sha256), "rb") as file:
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
                raise BlobMissing(sha256)
            yield path
            return
        with tempfile.TemporaryDirectory(prefix="netadapt-blob-") as folder, room_needed():
            path = Path(folder) / sha256
            with path.open("wb") as file:
                for chunk in self.open_range(sha256):
                    file.write(chunk)
            yield path

    def delete(self, sha256: str) -> None:
        """Silent when it is not there: two may delete at once."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._place(sha256))

    def discard(self, sha256: str, *, written_before: datetime) -> None:
        """As `delete`, but what was written again since then stays."""
        if self._modified(self._place(sha256)) < written_before.timestamp():
            self.delete(sha256)

    def sweep(self, referenced: Collection[str], *, older_than_s: float = 3600.0) -> list[str]:
        """Removes the blobs that no row names, and writes that were broken off; says which blobs went.

        `older_than_s` spares what was just written and whose row is not committed yet.
        """
        oldest = time.time() - older_than_s
        for path in self._files(_INCOMING):
            if self._modified(path) < oldest:
                with suppress(FileNotFoundError):
                    self._fs.rm_file(path)
        gone = []
        for path in self._files(_BLOBS):
            sha256 = path.rsplit("/", 1)[-1]
            if sha256 not in referenced and self._modified(path) < oldest:
                self.delete(sha256)
                gone.append(sha256)
        return gone

    def _write(self, place: str, content: bytes | Path) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with self._fs.open(place, "wb") as out:
            for chunk in _chunks(content):
                digest.update(chunk)
                size += len(chunk)
                out.write(chunk)
        return digest.hexdigest(), size

    def _place(self, sha256: str) -> str:
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise ValueError(f"{sha256!r} is no sha256")
        return f"{self._root}/{_BLOBS}/{sha256[:2]}/{sha256}"

    def _make_parent(self, place: str) -> None:
        if self._local:
            Path(place).parent.mkdir(parents=True, exist_ok=True)

    def _files(self, folder: str) -> list[str]:
        self._fs.invalidate_cache()  # remote file systems remember listings
        return [str(path) for path in self._fs.find(f"{self._root}/{folder}")]

    def _modified(self, path: str) -> float:
        try:
            return float(self._fs.modified(path).timestamp())
        except FileNotFoundError:
            return float("inf")  # gone meanwhile: nothing left to remove

    @contextmanager
    def _missing(self, sha256: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise BlobMissing(sha256) from error


def _chunks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
