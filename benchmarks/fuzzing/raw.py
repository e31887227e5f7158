"""Mutations of bytes that know nothing of what the bytes mean."""

from collections.abc import Callable, Sequence
from random import Random

MOST_BYTES = 100_000  # of a case
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1)
Step = Callable[[bytearray, Random, Sequence[bytes]], None]


def mutated_bytes(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """`data` after one to eight small accidents; `others` are files of the same format to splice in."""
    buffer = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        rng.choice(_STEPS)(buffer, rng, others)
    return bytes(buffer[:MOST_BYTES])


def span(size: int, rng: Random, longest: int = 400) -> tuple[int, int]:
    """A start and an end within `size`."""
    start = rng.randint(0, size)
    return start, min(size, start + rng.choice((1, 2, 4, 8, rng.randint(1, longest))))


def _flip(buffer: bytearray, rng: Random, _others: Sequence[bytes]) -> None:
    if buffer:
        buffer[rng.randrange(len(buffer))] ^= 1 << rng.randrange(8)


def _number(buffer: bytearray, rng: Random, _others: Sequence[bytes]) -> None:
    size = rng.choice((1, 2, 4, 8))
    value = rng.choice(NUMBERS) % (1 << 8 * size)
    start = rng.randint(0, len(buffer))
    buffer[start : start + size] = value.to_bytes(size, rng.choice(("little", "big")))


def _remove(buffer: bytearray, rng: Random, _others: Sequence[bytes]) -> None:
    start, end = span(len(buffer), rng)
    del buffer[start:end]


def _insert(buffer: bytearray, rng: Random, _others: Sequence[bytes]) -> None:
    start, _ = span(len(buffer), rng)
    buffer[start:start] = rng.choice((rng.randbytes(rng.randint(1, 64)), bytes(64), b"\xff" * 8, b"9" * 40))


def _repeat(buffer: bytearray, rng: Random, _others: Sequence[bytes]) -> None:
    start, end = span(len(buffer), rng)
    buffer[start:end] = bytes(buffer[start:end]) * rng.choice((2, 3, 50))


def _cut(buffer: bytearray, rng: Random, _others: Sequence[bytes]) -> None:
    del buffer[rng.randint(0, len(buffer)) :]


def _splice(buffer: bytearray, rng: Random, others: Sequence[bytes]) -> None:
    other = rng.choice(others)
    start, end = span(len(other), rng, 4000)
    at, to = span(len(buffer), rng, 4000)
    buffer[at:to] = other[start:end]


_STEPS: tuple[Step, ...] = (_flip, _flip, _number, _number, _remove, _insert, _repeat, _cut, _splice)
