"""Zip files that break every rule one at a time: a small writer in which each field of each header can be set."""

import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from random import Random

from benchmarks.fuzzing.raw import NUMBERS, mutated_bytes

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_NAMES = (
    *(
        b"",
        b"/",
        b"..",
        b"../evil",
        b"net/../../evil",
        b"/etc/evil",
        b"C:\\evil",
        b"a\\b",
        b"\xff\xfe",
        b"a\0b",
        b"x" * 4000,
    ),
    *(b"net/data.pkl", b"net/data/weights/model.pt", b"net/.data", b"net/models/model.json", b"version", b"\x1b[31m"),
    *(
        b"net/data/aotinductor/../../evil",
        b"x_train.npy",
        b"x_train.npy.npy",
        b".npy",
        "é😀".encode(),
        b"train/a/0.png",
    ),
)


@dataclass
class Entry:
    """`local` and `central` override fields of the two headers, which otherwise agree with the content."""

    name: bytes
    content: bytes
    packed: bool = False
    descriptor: bool = False
    extra: bytes = b""
    local: dict[str, int] = field(default_factory=dict)
    central: dict[str, int] = field(default_factory=dict)


def entries_of(data: bytes) -> list[Entry]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return [
            Entry(info.filename.encode(), archive.read(info), packed=info.compress_type != zipfile.ZIP_STORED)
            for info in archive.infolist()
        ]


def zip_of(entries: Sequence[Entry], end: dict[str, int] | None = None) -> bytes:
    out = bytearray()
    directory = bytearray()
    for entry in entries:
        offset = len(out)
        body, fields = _body_of(entry)
        local = {**fields, **({"crc": 0, "packed": 0, "size": 0} if entry.descriptor else {}), **entry.local}
        out += _LOCAL.pack(
            b"PK\x03\x04",
            *(local[name] % 65536 for name in ("needs", "flags", "method", "time", "date")),
            *(local[name] % 2**32 for name in ("crc", "packed", "size")),
            *(local[name] % 65536 for name in ("name", "extra")),
        )
        out += entry.name + entry.extra + body
        if entry.descriptor:
            out += struct.pack("<4s3L", b"PK\x07\x08", *(fields[name] for name in ("crc", "packed", "size")))
        central = {**fields, "offset": offset, "comment": 0, "disk": 0, "internal": 0, "external": 0, **entry.central}
        directory += _CENTRAL.pack(
            b"PK\x01\x02",
            *(central[name] % 65536 for name in ("made", "needs", "flags", "method", "time", "date")),
            *(central[name] % 2**32 for name in ("crc", "packed", "size")),
            *(central[name] % 65536 for name in ("name", "extra", "comment", "disk", "internal")),
            *(central[name] % 2**32 for name in ("external", "offset")),
        )
        directory += entry.name + entry.extra
    last = {"here": len(entries), "all": len(entries), "size": len(directory), "offset": len(out), **(end or {})}
    counts = (last[name] % 65536 for name in ("here", "all"))
    return bytes(out + directory) + _END.pack(
        b"PK\x05\x06", 0, 0, *counts, last["size"] % 2**32, last["offset"] % 2**32, 0
    )


def _body_of(entry: Entry) -> tuple[bytes, dict[str, int]]:
    body = entry.content
    if entry.packed:
        packer = zlib.compressobj(wbits=-15)
        body = packer.compress(body) + packer.flush()
    return body, {
        **{"made": 20, "needs": 20, "flags": 8 if entry.descriptor else 0, "method": 8 if entry.packed else 0},
        **{"time": 0, "date": 33, "crc": zlib.crc32(entry.content), "packed": len(body), "size": len(entry.content)},
        **{"name": len(entry.name), "extra": len(entry.extra)},
    }


def mutated_zip(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """The archive written anew with one to three faults of its container."""
    entries, end = entries_of(data), dict[str, int]()
    for _ in range(rng.choice((1, 1, 2, 3))):
        if entries:
            rng.choice(_STEPS)(entries, rng.randrange(len(entries)), rng, end)
    written = zip_of(entries, end)
    if rng.random() < 0.1:
        other = rng.choice(others)
        return rng.choice((other + written, written + other, b"junk" + written, written + b"junk", written * 2))
    return written


def _rename(entries: list[Entry], at: int, rng: Random, _end: dict[str, int]) -> None:
    entries[at].name = rng.choice((*_NAMES, rng.choice(entries).name, entries[at].name[:-1], entries[at].name + b"/"))


def _set_local(entries: list[Entry], at: int, rng: Random, _end: dict[str, int]) -> None:
    fields = ("needs", "flags", "method", "crc", "packed", "size", "name", "extra")
    entries[at].local[rng.choice(fields)] = _number(rng)


def _set_central(entries: list[Entry], at: int, rng: Random, _end: dict[str, int]) -> None:
    fields = ("made", "needs", "flags", "method", "crc", "packed", "size", "name", "extra", "comment", "disk", "offset")
    entries[at].central[rng.choice(fields)] = _number(rng)


def _set_both(entries: list[Entry], at: int, rng: Random, _end: dict[str, int]) -> None:
    name, value = rng.choice(("flags", "method", "crc", "packed", "size", "time", "date")), _number(rng)
    entries[at].local[name] = entries[at].central[name] = value


def _set_mode(entries: list[Entry], at: int, rng: Random, _end: dict[str, int]) -> None:
    entries[at].central |= {"made": 3 << 8 | 20, "external": rng.choice((0o120777, 0o010600, 0o040755, 0o020600)) << 16}


def _overlap(entries: list[Entry], at: int, rng: Random, _end: dict[str, int]) -> None:
    entries[at].central["offset"] = rng.choice((0, 1, 30, 2**31, 2**32 - 1))


def _twice(entries: list[Entry], at: int, rng: Random, _end: dict[str, int]) -> None:
    entries.insert(rng.randint(0, len(entries)), entries[at])


def _many(entries: list[Entry], at: int, rng: Random, _end: dict[str, int]) -> None:
    entries += [Entry(b"%s%d" % (entries[at].name[:20], n), b"") for n in range(rng.choice((3, 70, 500)))]


def _drop(entries: list[Entry], at: int, _rng: Random, _end: dict[str, int]) -> None:
    del entries[at]


def _shuffle(entries: list[Entry], _at: int, rng: Random, _end: dict[str, int]) -> None:
    rng.shuffle(entries)


def _repack(entries: list[Entry], at: int, _rng: Random, _end: dict[str, int]) -> None:
    entries[at].packed = not entries[at].packed


def _describe(entries: list[Entry], at: int, _rng: Random, _end: dict[str, int]) -> None:
    entries[at].descriptor = True


def _extend(entries: list[Entry], at: int, rng: Random, _end: dict[str, int]) -> None:
    """Extra fields: zip64 sizes, a Unicode path, nonsense."""
    zip64 = struct.pack("<2H3Q", 1, 24, *(rng.choice(NUMBERS) for _ in range(3)))
    entries[at].extra = rng.choice((zip64, struct.pack("<2HBL", 0x7075, 9, 1, 0) + b"evil", b"\x01\x00\xff\xff", b"\0"))
    if rng.random() < 0.5:
        entries[at].central[rng.choice(("size", "packed", "offset"))] = 2**32 - 1


def _spoil(entries: list[Entry], at: int, rng: Random, _end: dict[str, int]) -> None:
    entries[at].content = mutated_bytes(entries[at].content, rng, [each.content for each in entries])


def _empty(entries: list[Entry], at: int, rng: Random, _end: dict[str, int]) -> None:
    entries[at].content = rng.choice((b"", b"\0", bytes(4096), rng.choice(entries).content))


def _set_end(_entries: list[Entry], _at: int, rng: Random, end: dict[str, int]) -> None:
    end[rng.choice(("here", "all", "size", "offset"))] = _number(rng)


def _number(rng: Random) -> int:
    return rng.choice((*NUMBERS, rng.randrange(64), rng.randrange(2**16)))


_Step = Callable[[list[Entry], int, Random, dict[str, int]], None]
_STEPS: tuple[_Step, ...] = (
    *(_rename, _rename, _set_local, _set_central, _set_central, _set_both, _set_mode, _overlap, _twice, _many, _drop),
    *(_shuffle, _repack, _describe, _extend, _spoil, _spoil, _empty, _set_end),
)
