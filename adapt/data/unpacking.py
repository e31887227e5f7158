"""Tars packed as a whole (by gzip, bzip2, xz, zstd), unpacked to a file: their members have no places before that."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from adapt.data.members import refusing_broken
from adapt.errors import DatasetRefused

MOST_EXPANSION = 200  # times its size that a packed tar may unpack to; images hardly shrink at all
FREELY_UNPACKED_BYTES = 64 << 20  # whatever the expansion: a few plain pictures may shrink to next to nothing
CHUNK_BYTES = 1 << 20


def unpack_tar(
    path: Path,
    kind: str,
    out: Path,
    *,
    max_bytes: int,
    max_expansion: int = MOST_EXPANSION,
    pause_point: Callable[[], None] = lambda: None,
) -> None:
    """Writes the tar inside a packed one (a kind of PACKED_TARS) to `out`; `pause_point` is called now and then.

    Raises DatasetRefused beyond `max_bytes`, or beyond `max_expansion` times the file's size.
    """
    expanded = max(FREELY_UNPACKED_BYTES, max_expansion * path.stat().st_size)
    with refusing_broken(kind), PACKED_TARS[kind](path) as packed, out.open("wb") as file:
        left = min(max_bytes, expanded)
        while chunk := packed.read(CHUNK_BYTES):
            pause_point()
            left -= len(chunk)
            if left < 0 and max_bytes <= expanded:
                raise DatasetRefused("", f"unpacks to more than {max_bytes} bytes (limit max_unpacked_bytes)")
            if left < 0:
                why = f"unpacks to more than {max_expansion} times its size: no archive of images (limit max_expansion)"
                raise DatasetRefused("", why)
            file.write(chunk)


def _open_zstd(path: Path) -> IO[bytes]:
    import pyarrow as pa  # here: it loads 50 MB of library that no other archive needs

    stream: IO[bytes] = pa.input_stream(str(path), compression="zstd")
    return stream


PACKED_TARS: dict[str, Callable[[Path], Any]] = {
    "tar.gz": gzip.open,
    "tar.bz2": bz2.open,
    "tar.xz": lzma.open,
    "tar.zst": _open_zstd,
}
