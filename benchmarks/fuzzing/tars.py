"""Mutations of tar headers, their check sums put right again, so that it is the fields that are judged."""

import bz2
import gzip
import lzma
from collections.abc import Callable, Sequence
from random import Random

from benchmarks.fuzzing.raw import mutated_bytes

_BLOCK = 512
_FIELDS = {
    "name": (0, 100),
    "mode": (100, 8),
    "size": (124, 12),
    "type": (156, 1),
    "link": (157, 100),
    "magic": (257, 8),
}
_FIELDS |= {"prefix": (345, 155), "uid": (108, 8), "mtime": (136, 12), "device": (329, 16)}
_NAMES = (
    b"../evil",
    b"/etc/evil",
    b"a/../../evil",
    b"",
    b"a\0b",
    b"\xff\xfe/0.png",
    b"x/" * 50,
    b"C:/evil",
    b"a/./0.png",
)
_SIZES = (
    b"77777777777",
    b"00000000000",
    b"-0000000001",
    b"99999999999",
    b"\x80" + b"\xff" * 11,
    b"\xff" * 12,
    b" " * 12,
)
_TYPES = b"0123456789LKxgXSVDMNAZ\0\xff"
PACKERS: tuple[Callable[[bytes], bytes], ...] = (
    lambda data: gzip.compress(data, 1, mtime=0),
    lambda data: bz2.compress(data, 1),
    lambda data: lzma.compress(data, preset=0),
)


def mutated_tar(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    buffer = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        headers = [at for at in range(0, len(buffer), _BLOCK) if buffer[at + 257 : at + 262] == b"ustar"]
        if not headers:
            break
        rng.choice(_STEPS)(buffer, rng.choice(headers), rng)
    return bytes(buffer)


def mutated_packed(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """A tar with faults, packed well; or one packed well, and damaged then. `data` is the plain tar."""
    packed = rng.choice(PACKERS)
    if rng.random() < 0.5:
        return packed(mutated_tar(data, rng, others))
    if rng.random() < 0.1:
        return packed(data + bytes(rng.choice((1, 50)) << 20))  # a bomb of zeros
    return mutated_bytes(packed(data), rng, [packed(data)])


def _field(buffer: bytearray, at: int, rng: Random) -> None:
    name = rng.choice(
        ("name", "name", "size", "size", "type", "type", "link", "magic", "prefix", "mode", "mtime", "device")
    )
    start, size = _FIELDS[name]
    value = {"name": rng.choice(_NAMES), "link": rng.choice(_NAMES), "prefix": rng.choice(_NAMES)}.get(name)
    if name == "type":
        value = bytes([rng.choice(_TYPES)])
    if value is None:
        value = rng.choice((*_SIZES, rng.randbytes(size)))
    buffer[at + start : at + start + size] = value[:size].ljust(size, b"\0")
    _sum(buffer, at)


def _record(buffer: bytearray, at: int, rng: Random) -> None:
    """A pax header, or a long name, in front of the entry."""
    text = rng.choice(
        (
            *(
                b"19 path=../../evil\n",
                b"16 size=99999999\n",
                b"9999999999 a=b\n",
                b"-5 a=b\n",
                b"0 path=\n",
                b"11 path=\xff\xfe\n",
            ),
            *(b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n", b"28 hdrcharset=BINARY\n", b"20 GNU.sparse.size=x\n"),
            *(b"30 GNU.sparse.map=0,1,5,9,-1\n", b"a/" * 400 + b"0.png\0", b"12 size=-512\n", b"17 mtime=1e99999\n"),
        )
    )
    header = bytearray(buffer[at : at + _BLOCK])
    header[156:157] = rng.choice((b"x", b"g", b"L", b"K", b"S"))
    header[124:136] = b"%011o\0" % len(text)
    _sum(header, 0)
    buffer[at:at] = bytes(header) + text.ljust(-(-len(text) // _BLOCK) * _BLOCK, b"\0")


def _move(buffer: bytearray, at: int, rng: Random) -> None:
    entry = bytes(buffer[at : at + 2 * _BLOCK])
    if rng.random() < 0.5:
        buffer[at:at] = entry * rng.choice((1, 2, 40))
    else:
        del buffer[at : at + _BLOCK]


def _content(buffer: bytearray, at: int, rng: Random) -> None:
    start = at + _BLOCK
    piece = mutated_bytes(bytes(buffer[start : start + _BLOCK]), rng, [bytes(_BLOCK)])
    buffer[start : start + _BLOCK] = piece[:_BLOCK].ljust(_BLOCK, b"\0")


def _sum(buffer: bytearray, at: int) -> None:
    header = buffer[at : at + _BLOCK]
    header[148:156] = b" " * 8
    buffer[at + 148 : at + 156] = b"%06o\0 " % (sum(header) & 0o777777)


_STEPS: tuple[Callable[[bytearray, int, Random], None], ...] = (
    _field,
    _field,
    _field,
    _record,
    _move,
    _content,
    _content,
)
