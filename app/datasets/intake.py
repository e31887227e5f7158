"""From an upload to what is kept of a data set: which format it is, its facts, and the files that were made of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapt.data.decoding import Decoded
from adapt.data.inspection import DatasetFacts
from adapt.errors import DatasetRefused
from app.storage import Blob, Storage

FORMATS = ("npz", "zip", "tar", "tar.gz", "parquet")
DECODE_TASK = "dataset-decode"
"""Kind of the task that decodes a large upload; key and payload name the data set."""


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """A data set that was read. `images` and `labels` are None for an .npz file, which is its own cache; `sample`
    is None where there are no thumbnails."""

    facts: DatasetFacts
    report: dict[str, Any]
    images: Blob | None = None
    labels: Blob | None = None
    sample: Blob | None = None


def sniff_format(path: Path) -> str:
    """One of FORMATS, by the first bytes; nothing is parsed. Raises DatasetRefused."""
    with path.open("rb") as file:
        start = file.read(1024)
    if start.startswith(b"PK\x03\x04"):
        name = start[30 : 30 + int.from_bytes(start[26:28], "little")]
        return "npz" if name.endswith(b".npy") else "zip"
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"\x1f\x8b"):
        return "tar.gz"
    if start[257:262] == b"ustar":
        return "tar"
    packed = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"Rar!": "rar", b"7z\xbc\xaf": "7z", b"(\xb5/\xfd": "zstd"}
    for magic, kind in packed.items():
        if start.startswith(magic):
            raise DatasetRefused("", f"is not an .npz or another format that is read, but {kind}: send a zip or a tar")
    raise DatasetRefused(
        "", "is not an .npz file, no zip or tar of one folder per class, and no .parquet file with images and labels"
    )


def keep_decoded(storage: Storage, folder: Path, decoded: Decoded) -> Ingested:
    """Stores the arrays that decoding left in `folder`. Raises StorageFull."""
    images, labels, sample = (storage.put(folder / f"{name}.npy") for name in ("images", "labels", "sample"))
    return Ingested(facts=decoded.facts, report=decoded.report, images=images, labels=labels, sample=sample)
