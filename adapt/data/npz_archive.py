"""The zip of .npy entries behind an .npz file, read as hostile: sizes are checked before anything is unpacked.

Only numpy's header parser sees the sender's bytes (a literal, length-limited); the pixels are raw bytes.
"""

import io
import math
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from adapt.errors import DatasetRefused

MOST_ENTRIES = 64
HEADER_BYTES = 10_000  # of a .npy entry, as numpy's own default
CHUNK_BYTES = 1 << 20
MAPPED_FROM_BYTES = 64 << 20  # smaller arrays are read into memory
READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One array of the file, by its header; `offset` is where its numbers begin inside the unpacked entry."""

    name: str
    member: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    columns_first: bool
    offset: int

    @property
    def data_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class NpzArchive:
    """Opens `path`; a context manager. Raises DatasetRefused wherever the file is not what it should be."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._file = path.open("rb")  # outside of the `with`: a path that is not there is nobody's bad data
        try:
            with _refusing("", "is not an .npz file (a zip archive of arrays)"):
                self._zip = zipfile.ZipFile(self._file)
            self._check_members(max_bytes)
        except DatasetRefused:
            self._file.close()
            raise

    def __enter__(self) -> "NpzArchive":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._zip.close()
        self._file.close()

    def entries(self) -> dict[str, Entry]:
        """Headers by name without the ending (x_train.npy is x_train)."""
        return {_stem(info.filename): self._header(info) for info in self._zip.infolist()}

    def read(self, entries: Sequence[Entry], extract_to: Path | None) -> NDArray[Any]:
        """The arrays one behind the other, in C order and native byte order; mapped read-only from a file in
        `extract_to` when they are large. They are of one dtype and, but for their first sides, of one shape.

        Every byte is read, so a wrong check sum is found here.
        """
        large = sum(entry.data_bytes for entry in entries) >= MAPPED_FROM_BYTES
        if extract_to is not None and large and not any(entry.columns_first for entry in entries):
            return self._map(entries, extract_to / f"{entries[0].name}.npy")
        arrays = [self._read(entry) for entry in entries]
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    def _map(self, entries: Sequence[Entry], path: Path) -> NDArray[Any]:
        first = entries[0]
        shape = (sum(entry.shape[0] for entry in entries), *first.shape[1:])
        target = np.lib.format.open_memmap(path, mode="w+", dtype=first.dtype, shape=shape)
        flat, start = target.reshape(-1).view(np.uint8), 0
        for entry in entries:
            self._fill(entry, flat[start : start + entry.data_bytes])
            start += entry.data_bytes
        target.flush()
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped

    def _read(self, entry: Entry) -> NDArray[Any]:
        flat = np.empty(entry.data_bytes, dtype=np.uint8)
        self._fill(entry, flat)
        numbers = flat.view(entry.dtype)
        array = numbers.reshape(entry.shape[::-1]).T if entry.columns_first else numbers.reshape(entry.shape)
        return np.array(array, dtype=entry.dtype.newbyteorder("="), order="C", copy=None)

    def _check_members(self, max_bytes: int) -> None:
        members = self._zip.infolist()
        if len(members) > MOST_ENTRIES:
            raise DatasetRefused("", f"has {len(members)} entries, at most {MOST_ENTRIES} are read")
        names = [_stem(info.filename) for info in members]
        for info, name in zip(members, names, strict=True):
            if names.count(name) > 1:
                raise DatasetRefused(name, "is in the file twice")
            if not info.filename.endswith(".npy"):
                raise DatasetRefused(info.filename, "is no .npy entry; write the file with numpy.savez")
            if info.flag_bits & 1:
                raise DatasetRefused(name, "is encrypted")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DatasetRefused(name, "is compressed in a way that numpy does not write; use savez_compressed")
        if (total := sum(info.file_size for info in members)) > max_bytes:
            raise DatasetRefused(
                "", f"unpacks to {total} bytes, at most {max_bytes} are accepted (limit max_unpacked_bytes)"
            )

    def _header(self, info: zipfile.ZipInfo) -> Entry:
        name = _stem(info.filename)
        with _refusing(name, "is no readable .npy entry"), self._zip.open(info) as stream:
            # Parsed from a bounded copy: the header's own length field is the sender's.
            start = io.BytesIO(stream.read(HEADER_BYTES + 64))
            version = np.lib.format.read_magic(start)
            if version not in READERS:
                raise DatasetRefused(name, f".npy version {version} is not read, only 1.0 and 2.0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numpy warns of headers that Python 2 wrote, and reads them
                shape, columns_first, dtype = READERS[version](start, max_header_size=HEADER_BYTES)
            entry = Entry(
                name=name,
                member=info.filename,
                dtype=dtype,
                shape=shape,
                columns_first=columns_first,
                offset=start.tell(),
            )
            negative = any(side < 0 for side in shape)
        if negative:
            raise DatasetRefused(name, f"has the shape {list(shape)}")
        if not dtype.hasobject and info.file_size != entry.offset + entry.data_bytes:
            raise DatasetRefused(
                name,
                f"says shape {list(shape)} of {dtype.name}, {entry.data_bytes} bytes, "
                f"but {max(0, info.file_size - entry.offset)} follow",
            )
        return entry

    def _fill(self, entry: Entry, flat: NDArray[np.uint8]) -> None:
        with _refusing(entry.name, "cannot be unpacked"), self._zip.open(entry.member) as stream:
            _read_exactly(stream, entry.offset)
            for start in range(0, len(flat), CHUNK_BYTES):
                size = min(CHUNK_BYTES, len(flat) - start)
                flat[start : start + size] = np.frombuffer(_read_exactly(stream, size), dtype=np.uint8)
            if stream.read(1):
                raise DatasetRefused(entry.name, "is longer than its header says")


def _stem(member: str) -> str:
    return member.removesuffix(".npy")


def _read_exactly(stream: IO[bytes], size: int) -> bytes:
    found = stream.read(size)
    if len(found) != size:
        raise EOFError("ends too early")
    return found


@contextmanager
def _refusing(name: str, why: str) -> Iterator[None]:
    """For code that reads the sender's bytes, and only that: whatever it raises, the bytes are at fault.

    zipfile, zlib and numpy's header parser raise a dozen kinds on broken input, among them KeyError, RecursionError,
    NotImplementedError and tokenize.TokenError; a list of them would never be complete.
    """
    try:
        yield
    except DatasetRefused:
        raise
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetRefused(name, f"{why}: {text[:200]}") from error
