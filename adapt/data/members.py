"""The files inside a zip or tar that somebody sent, by name and place; nothing is unpacked to a path by its name."""

import gzip
import re
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adapt.errors import DatasetRefused

MOST_ENTRIES = 500_000
MOST_NAME_CHARACTERS = 1000
MOST_IMAGE_BYTES = 64 << 20  # of one file in the archive
CHUNK_BYTES = 1 << 20
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, kw_only=True)
class Member:
    """One regular file: `name` with forward slashes, `place` its offset (tar) or its number in the directory (zip)."""

    name: str
    place: int
    size: int


def list_members(path: Path, kind: str, *, max_bytes: int) -> list[Member]:
    """The regular files of a "zip" or "tar", in the archive's order. Raises DatasetRefused, naming the entry.

    Refused: names that lead out of the archive, links and devices, encryption, one name twice, too many entries, and
    more than `max_bytes` unpacked.
    """
    with _refusing(kind):
        members = _zip_members(path) if kind == "zip" else _tar_members(path)
    if (total := sum(member.size for member in members)) > max_bytes:
        raise DatasetRefused("", f"unpacks to {total} bytes, at most {max_bytes} are accepted")
    seen: set[str] = set()
    for member in members:
        if member.name in seen:
            raise DatasetRefused(shown(member.name), "is in the archive twice")
        seen.add(member.name)
    return members


class MemberReader:
    """Reads files of an archive by place; a context manager. Not for several threads at once."""

    def __init__(self, path: Path, kind: str) -> None:
        self._file = path.open("rb")
        self._zip = zipfile.ZipFile(self._file) if kind == "zip" else None
        self._infos = [] if self._zip is None else self._zip.infolist()

    def __enter__(self) -> "MemberReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, place: int, size: int) -> bytes:
        """The whole file. Raises OSError, EOFError, zipfile.BadZipFile, zlib.error and others where it is damaged."""
        if self._zip is None:
            self._file.seek(place)
            content = self._file.read(size)
        else:
            with self._zip.open(self._infos[place]) as stream:
                content = stream.read(size)
                stream.read(1)  # only at its end is the check sum compared
        if len(content) != size:
            raise EOFError(f"{len(content)} of {size} bytes are there")
        return content


def unpack_gzip(path: Path, out: Path, *, max_bytes: int) -> None:
    """Writes the tar inside a .tar.gz to `out`. Raises DatasetRefused beyond `max_bytes`."""
    with _refusing("tar.gz"), gzip.open(path) as packed, out.open("wb") as file:
        left = max_bytes
        while chunk := packed.read(CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                raise DatasetRefused("", f"unpacks to more than {max_bytes} bytes, the limit")
            file.write(chunk)


def shown(name: str) -> str:
    """A sender's name, fit for a message."""
    return _CONTROL.sub("?", name)[:200]


def _zip_members(path: Path) -> list[Member]:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        _check_count(len(infos))
        members = []
        for place, info in enumerate(infos):
            name = _checked_name(info.filename)
            kind = (info.external_attr >> 16) & 0o170000  # Unix file type, 0 where another system packed
            if kind not in (0, 0o100000, 0o040000):
                raise DatasetRefused(shown(name), "is a link or a device; only files and folders are accepted")
            if info.is_dir():
                continue
            if info.flag_bits & 1:
                raise DatasetRefused(shown(name), "is encrypted")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DatasetRefused(shown(name), "is compressed in another way than deflate")
            members.append(Member(name=name, place=place, size=info.file_size))
        return members


def _tar_members(path: Path) -> list[Member]:
    members = []
    with tarfile.open(path, "r:") as archive:
        for count, info in enumerate(archive, start=1):
            _check_count(count)
            archive.members = []  # type: ignore[attr-defined]  # or it keeps every header
            name = _checked_name(info.name)
            if info.isdir():
                continue
            if not info.isreg() or info.issparse():
                raise DatasetRefused(shown(name), "is a link, a device or a sparse file; only plain files are accepted")
            members.append(Member(name=name, place=info.offset_data, size=info.size))
    return members


def _check_count(count: int) -> None:
    if count > MOST_ENTRIES:
        raise DatasetRefused("", f"has {count} entries or more, at most {MOST_ENTRIES} are read")


def _checked_name(name: str) -> str:
    """With forward slashes and without `./`. Raises DatasetRefused for what would lead out of the archive."""
    plain = name.replace("\\", "/")
    if plain.startswith("/") or _DRIVE.match(plain) or ".." in plain.split("/"):
        raise DatasetRefused(shown(name), "leads out of the archive; pack with relative names")
    if _CONTROL.search(plain) or len(plain) > MOST_NAME_CHARACTERS:
        raise DatasetRefused(shown(name), "is a name with control characters, or one that is too long")
    return "/".join(part for part in plain.split("/") if part not in {"", "."})


@contextmanager
def _refusing(kind: str) -> Iterator[None]:
    """For the standard library's archive readers, which raise a dozen kinds on broken input."""
    try:
        yield
    except (DatasetRefused, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, gzip.BadGzipFile):
            raise  # the disk's fault, not the sender's
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetRefused("", f"is not an .npz or a {kind} archive that can be read: {text[:200]}") from error
