"""The zip container of a .pt2 file, opened as one opens a stranger's letter: nothing is extracted or unpacked."""

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import error as StructError

from adapt.errors import FormatRefused, NetworkRefused

MAX_ENTRIES = 20_000
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    StructError,
    EOFError,
    NotImplementedError,
    RuntimeError,  # an encrypted entry
    ValueError,
    OverflowError,
    OSError,  # an offset outside the file
)
_HOW = "write one with torch.export.save(torch.export.export(model.eval(), (images,)), 'net.pt2')"
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\:]")


class Archive:
    """Entries by their path below the archive's one top folder."""

    def __init__(self, opened: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo]) -> None:
        self._opened, self._entries = opened, entries

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
        """Fills `buffer`, which has the entry's size, in pieces. Raises NetworkRefused for a damaged entry."""
        try:
            with self._opened.open(self._entry(name)) as stream:
                filled = 0
                while piece := stream.read(min(1 << 20, len(buffer) - filled + 1)):
                    buffer[filled : filled + len(piece)] = piece
                    filled += len(piece)
        except _BROKEN as error:
            raise NetworkRefused(name, f"cannot be read, the file is damaged: {error}") from error
        if filled != len(buffer):
            raise NetworkRefused(name, f"holds {filled} bytes where {len(buffer)} are announced")

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
        raise FormatRefused("", f"not a zip archive, or a truncated one ({error}); {_HOW}") from error
    with opened:
        yield Archive(opened, _checked_entries(opened.infolist(), path.stat().st_size))


def _checked_entries(infos: list[zipfile.ZipInfo], file_bytes: int) -> dict[str, zipfile.ZipInfo]:
    if not infos or len(infos) > MAX_ENTRIES:
        raise NetworkRefused("", f"the archive has {len(infos)} entries, 1 to {MAX_ENTRIES} are allowed")
    if min(info.header_offset for info in infos) != 0:
        # A cut-off .pt2 ends in its sample inputs, which are a zip archive of their own.
        raise FormatRefused("", f"a truncated archive, or one with something in front of it; {_HOW}")
    _refuse_other_kinds({info.filename for info in infos})
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
        entries[name] = info
        roots.add(root)
    if len(roots) > 1:
        raise NetworkRefused("", f"the archive has {len(roots)} top folders, one is expected")
    if sum(info.file_size for info in infos) > file_bytes:
        raise NetworkRefused("", "the entries are larger than the file, so they overlap")
    return entries


def _refuse_other_kinds(names: set[str]) -> None:
    """Names what a zip file is that was not written by today's torch.export.save."""
    tops = {name.partition("/")[2] for name in names}
    if "models/model.json" in tops:
        return
    if "serialized_exported_program.json" in names | tops:
        raise FormatRefused("", f"an archive in the layout of an older torch.export; with torch 2.13, {_HOW}")
    if any(name.startswith("code/") for name in tops) or "constants.pkl" in tops:
        raise FormatRefused("", f"a TorchScript file, which holds code; {_HOW}")
    if "data.pkl" in names | tops:
        raise FormatRefused("", f"a pickled checkpoint (torch.save), which is never loaded; {_HOW}")
    raise FormatRefused("", f"a zip archive without models/model.json, so no exported network; {_HOW}")
