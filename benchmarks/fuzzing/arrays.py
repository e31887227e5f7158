"""Mutations of .npz files below the zip container: headers of .npy entries that say what is not so."""

import struct
from collections.abc import Sequence
from random import Random

from benchmarks.fuzzing.raw import mutated_bytes
from benchmarks.fuzzing.zips import Entry, entries_of, mutated_zip, zip_of

_DTYPES = (
    *("'|u1'", "'<f4'", "'>i8'", "'<i8'", "'|O'", "'|S5'", "'<U3'", "'<M8[s]'", "'<c16'", "'|V0'", "'|V9'", "'|b1'"),
    *("[('a', '<f4'), ('b', '|O')]", "[('a', '|u1', (2, 2))]", "'O'", "''", "'u1,u1'", "None", "1", "'<f1'", "'|u9'"),
    *("[]", "[('', '|u1')]", "'<i8' * 3", "__import__('os')", "('<u4', (2,))", "{'names': ['a'], 'formats': ['O']}"),
)
_SHAPES = (
    *("()", "(0,)", "(1,)", "(12,)", "(12, 4, 4, 3)", "(12, 4, 4)", "(-1,)", "(12, -4, -4, 3)", "(2**63,)", "[12]"),
    *("(4294967296, 4294967296)", "(18446744073709551616,)", "(12, 4, 4, 3, 1, 1, 1)", "(True,)", "(1.0,)", "None"),
    *("('12',)", "(" + "1," * 40 + ")", "(9999999999999999999999999,)", "12", "(12, 0, 4, 3)", "((12,),)", "(1," * 900),
)
_ORDERS = ("False", "True", "0", "1", "None", "'False'")


def mutated_npz(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    if rng.random() < 0.4:
        return mutated_zip(data, rng, others)
    entries = entries_of(data)
    for _ in range(rng.choice((1, 1, 2))):
        entry = rng.choice(entries)
        _change(entry, rng, entries)
    return zip_of(entries)


def _change(entry: Entry, rng: Random, entries: list[Entry]) -> None:
    how = rng.randrange(6)
    if how == 0:
        entry.content = mutated_bytes(entry.content, rng, [each.content for each in entries])
    elif how == 1:
        entry.content = rng.choice(entries).content
    else:
        entry.content = _with_header(entry.content, rng)


def _with_header(content: bytes, rng: Random) -> bytes:
    """The entry with a header of our own making before the same numbers, or others."""
    size = int.from_bytes(content[8:10], "little")
    header, numbers = content[10 : 10 + size].decode("latin-1").strip(), content[10 + size :]
    parts = dict(zip(("descr", "fortran_order", "shape"), _parts(header), strict=False))
    for name, others in (("descr", _DTYPES), ("fortran_order", _ORDERS), ("shape", _SHAPES)):
        if rng.random() < 0.45:
            parts[name] = rng.choice(others)
    if rng.random() < 0.1:
        parts[rng.choice(("extra", "descr ", ""))] = "1"
    text = "{" + ", ".join(f"'{name}': {value}" for name, value in parts.items()) + "}\n"
    encoded = text.encode("latin-1", "replace")
    length = len(encoded) if rng.random() < 0.9 else rng.choice((0, 1, 65535, 2**31 - 1, 2**32 - 1))
    version = rng.choice(((1, 0), (1, 0), (2, 0), (3, 0), (0, 0), (9, 9)))
    form = "<H" if version[0] == 1 else "<L"
    start = b"\x93NUMPY" + bytes(version) + struct.pack(form, length % (65536 if form == "<H" else 2**32))
    kept = rng.choice((numbers, numbers, numbers, numbers[:-1], numbers + b"\0", b"", rng.randbytes(len(numbers))))
    return start + encoded + kept


def _parts(header: str) -> list[str]:
    """The texts of descr, fortran_order and shape, as numpy itself writes them."""
    _, _, rest = header.partition("'descr': ")
    descr, _, rest = rest.partition(", 'fortran_order': ")
    order, _, shape = rest.partition(", 'shape': ")
    return [descr, order, shape.rstrip("}, ")]
