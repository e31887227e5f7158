"""The zip container of a .pt2 file, opened as one opens a stranger's letter: nothing is extracted or unpacked."""

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from adapt.errors import FormatRefused, NetworkRefused
from adapt.formats.other_kinds import EXPORT, refuse_other_zips

MAX_ENTRIES = 20_000
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,  # an encrypted entry
    ValueError,
    OverflowError,
    OSError,  # an offset outside the file
)
_UTF8 = 0x800
_LOCAL_HEADER = struct.Struct("<4s22x2H")  # signature; lengths of name and extra field
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\:]")


class Archive:
    """Entries by their path below the archive's one top folder; they are stored, so their bytes lie in the file."""

    def __init__(self, file: BinaryIO, entries: dict[str, zipfile.ZipInfo]) -> None:
        self._file, self._entries = file, entries

    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def size(self, name: str) -> int:
        """Bytes of an entry. Raises NetworkRefused when it is missing."""
        return self._entry(name).file_size

    def read(self, name: str, limit: int) -> bytes:
        """An entry of at most `limit` bytes. Raises NetworkRefused: missing, too large, damaged."""
        if self.size(name) > limit:
            raise NetworkRefused(name, f"holds {self.size(name)} bytes, {limit} are allowed")
        buffer = bytearray(self.size(name))
        self.read_into(name, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, name: str, buffer: memoryview) -> None:
        """Fills `buffer`, which has the entry's size. Raises NetworkRefused for a damaged entry.

        One copy, straight from the file. (A mapped file needs none, but whoever overwrites it then kills us.)
        """
        entry = self._entry(name)
        self._seek_content(entry, name)
        if self._file.readinto(buffer) != entry.file_size:  # type: ignore[attr-defined]  # a buffered file has it
            raise NetworkRefused(name, "cannot be read, the file is damaged: it ends in the middle of the entry")
        if zlib.crc32(buffer) != entry.CRC:
            raise NetworkRefused(name, "cannot be read, the file is damaged: its checksum is wrong")

    def _seek_content(self, entry: zipfile.ZipInfo, name: str) -> None:
        """Behind the entry's own header, which repeats the directory's name (APPNOTE.TXT, 4.3.7)."""
        self._file.seek(entry.header_offset)
        header = self._file.read(_LOCAL_HEADER.size)
        if len(header) == _LOCAL_HEADER.size:
            signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
            encoding = "utf-8" if entry.flag_bits & _UTF8 else "cp437"
            if signature == b"PK\x03\x04" and self._file.read(name_bytes) == entry.orig_filename.encode(encoding):
                self._file.seek(extra_bytes, 1)
                return
        raise NetworkRefused(name, "cannot be read, the file is damaged: its header differs from the directory")

    def _entry(self, name: str) -> zipfile.ZipInfo:
        if name not in self._entries:
            raise NetworkRefused(name, "is missing in the archive")
        return self._entries[name]


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Opens a zip file whose entries are all stored, safely named and inside one folder.

    Raises FormatRefused for what is not such an archive at all, NetworkRefused for one that is broken.
    """
    try:
        opened = zipfile.ZipFile(path)
    except _BROKEN as error:
        raise FormatRefused("", f"not a zip archive, or a truncated one ({error}); write {EXPORT}") from error
    with opened, path.open("rb") as file:
        yield Archive(file, _checked_entries(opened.infolist(), path.stat().st_size))


def _checked_entries(infos: list[zipfile.ZipInfo], file_bytes: int) -> dict[str, zipfile.ZipInfo]:
    if not infos or len(infos) > MAX_ENTRIES:
        raise NetworkRefused("", f"the archive has {len(infos)} entries, 1 to {MAX_ENTRIES} are allowed")
    if min(info.header_offset for info in infos) != 0:
        # A cut-off .pt2 ends in its sample inputs, which are a zip archive of their own.
        raise FormatRefused("", f"a truncated archive, or one with something in front of it; write {EXPORT}")
    refuse_other_zips({info.filename for info in infos})
    entries: dict[str, zipfile.ZipInfo] = {}
    roots = set()
    for info in infos:
        shown = ascii(info.filename[:100])
        root, slash, name = info.orig_filename.partition("/")
        parts = name.split("/")
        if not root or not slash or {"", ".", ".."} & {root, *parts} or _CONTROL.search(info.orig_filename):
            raise NetworkRefused(shown, "is not a name that an archive entry may have")
        if name in entries:
            raise NetworkRefused(shown, "is in the archive twice")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
            raise NetworkRefused(shown, "is compressed or encrypted; torch.export.save stores entries as they are")
        if info.header_offset + info.file_size > file_bytes:
            raise NetworkRefused(shown, "lies outside of the file, which is damaged")
        entries[name] = info
        roots.add(root)
    if len(roots) > 1:
        raise NetworkRefused("", f"the archive has {len(roots)} top folders, one is expected")
    if sum(info.file_size for info in infos) > file_bytes:
        raise NetworkRefused("", "the entries are larger than the file, so they overlap")
    return entries
