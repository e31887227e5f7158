"""From an upload to what is kept of a data set: its facts, and the files that were made of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapt.data.concluding import Decoded
from adapt.data.inspection import DatasetFacts
from app.storage import Blob, Storage

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


def keep_decoded(storage: Storage, folder: Path, decoded: Decoded) -> Ingested:
    """Stores the arrays that decoding left in `folder`. Raises StorageFull."""
    images, labels, sample = (storage.put(folder / f"{name}.npy") for name in ("images", "labels", "sample"))
    return Ingested(facts=decoded.facts, report=decoded.report, images=images, labels=labels, sample=sample)
