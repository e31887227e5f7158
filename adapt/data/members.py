"""The files inside a zip or tar that somebody sent, by name and place; nothing is unpacked to a path by its name."""

import errno
import gzip
import re
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adapt.errors import DatasetRefused

MOST_ENTRIES = 500_000
MOST_NAME_CHARACTERS = 1000
MOST_IMAGE_BYTES = 64 << 20  # of one file in the archive
DEFLATE64 = 9  # of a zip's ways to compress
UTF8_FLAG = 0x800
FINDER_ICON = "Icon\r"  # a folder's own icon on macOS, under this very name: the one control character that is usual
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, kw_only=True)
class Member:
    """One regular file: `name` with forward slashes, `place` its offset (tar) or its number in the directory (zip)."""

    name: str
    place: int
    size: int


def list_members(path: Path, kind: str, *, max_bytes: int, max_entries: int = MOST_ENTRIES) -> list[Member]:
    """The regular files of a "zip" or "tar", in the archive's order. Raises DatasetRefused, naming the entry.

    Refused: names that lead out of the archive, links and devices, encryption, one name twice, more than `max_entries`,
    and more than `max_bytes` unpacked.
    """
    with refusing_broken(kind):
        members = _zip_members(path, max_entries) if kind == "zip" else _tar_members(path, max_entries)
    if (total := sum(member.size for member in members)) > max_bytes:
        why = f"unpacks to {total} bytes, at most {max_bytes} are accepted (limit max_unpacked_bytes)"
        raise DatasetRefused("", why)
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


def shown(name: str) -> str:
    """A sender's name, fit for a message and for a database: no control characters, no halves of surrogate pairs."""
    return _CONTROL.sub("?", name.encode(errors="replace").decode())[:200]


def _zip_members(path: Path, max_entries: int) -> list[Member]:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        _check_count(len(infos), max_entries)
        members = []
        for place, info in enumerate(infos):
            name = _checked_name(_zip_name(info))
            kind = (info.external_attr >> 16) & 0o170000  # Unix file type, 0 where another system packed
            if kind not in (0, 0o100000, 0o040000):
                raise DatasetRefused(shown(name), "is a link or a device; only files and folders are accepted")
            if not name or info.filename.endswith(("/", "\\")):
                continue
            if info.flag_bits & 1:
                raise DatasetRefused(shown(name), "is encrypted; pack it without a password")
            if info.compress_type == DEFLATE64:
                raise DatasetRefused(
                    shown(name),
                    "is compressed by Deflate64, as Windows' own packer does in large archives; pack it with 7-Zip or "
                    "`python -m zipfile -c`, or send a tar",
                )
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DatasetRefused(shown(name), "is compressed in another way than deflate; pack it as a plain zip")
            members.append(Member(name=name, place=place, size=info.file_size))
        return members


def _zip_name(info: zipfile.ZipInfo) -> str:
    """macOS writes UTF-8 without the flag that says so; zipfile reads such names as code page 437."""
    if info.flag_bits & UTF8_FLAG:
        return info.filename
    try:
        return info.filename.encode("cp437").decode()
    except UnicodeError:
        return info.filename


def _tar_members(path: Path, max_entries: int) -> list[Member]:
    members = []
    with tarfile.open(path, "r:") as archive:
        for count, info in enumerate(archive, start=1):
            _check_count(count, max_entries)
            archive.members = []  # type: ignore[attr-defined]  # or it keeps every header
            name = _checked_name(_tar_name(info.name))
            if not name or info.isdir():
                continue
            if not info.isreg() or info.issparse():
                raise DatasetRefused(shown(name), "is a link, a device or a sparse file; only plain files are accepted")
            members.append(Member(name=name, place=info.offset_data, size=info.size))
        end = archive.offset  # where the first header is that is none
    _check_tar_end(path, end)
    return members


def _check_tar_end(path: Path, end: int) -> None:
    """tarfile takes a file that was cut off for one that ends: entries, and whole classes, would be missing."""
    with path.open("rb") as file:
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise DatasetRefused("", "is a tar that was cut off or damaged: it has no end; send it again")


def _tar_name(name: str) -> str:
    """Bytes that are no UTF-8, which tarfile leaves as halves of surrogate pairs, read as Latin-1."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode(errors="surrogateescape").decode("latin-1")
    return name


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise DatasetRefused("", f"has {count} entries or more, at most {most} are read (limit max_archive_entries)")


def _checked_name(name: str) -> str:
    """With forward slashes and without `./`; empty for what is nobody's file.

    Raises DatasetRefused for what would lead out of the archive.
    """
    # macOS takes accents apart, everybody else writes them as one character: "Café" is one class.
    plain = unicodedata.normalize("NFC", name.replace("\\", "/"))
    if plain.rsplit("/", 1)[-1] == FINDER_ICON:
        return ""
    if plain.startswith("/") or _DRIVE.match(plain) or ".." in plain.split("/"):
        raise DatasetRefused(shown(name), "leads out of the archive; pack with relative names")
    if _CONTROL.search(plain) or len(plain) > MOST_NAME_CHARACTERS:
        raise DatasetRefused(shown(name), "is a name with control characters, or one that is too long")
    return "/".join(part for part in plain.split("/") if part not in {"", "."})


@contextmanager
def refusing_broken(kind: str) -> Iterator[None]:
    """For the standard library's archive readers, which raise a dozen kinds on broken input."""
    try:
        yield
    except (DatasetRefused, MemoryError):
        raise
    except Exception as error:
        outside = {errno.EINVAL, errno.EOVERFLOW}  # a place that no file has: an announced size is wrong
        if (
            isinstance(error, OSError)
            and error.errno not in (None, *outside)
            and not isinstance(error, gzip.BadGzipFile)
        ):
            raise  # the disk's fault, not the sender's
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetRefused("", f"is not an .npz or a {kind} archive that can be read: {text[:200]}") from error
