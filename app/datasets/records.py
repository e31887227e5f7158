"""A data set as the service knows it: no rows, no HTTP."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.datasets.intake import Ingested
from app.records import CheckState


class DatasetError(Exception):
    """Root of what goes wrong with data sets."""


class DatasetNotFound(DatasetError):
    """There is none with this id, or it is somebody else's."""

    def __init__(self, dataset_id: str) -> None:
        super().__init__(dataset_id)
        self.dataset_id = dataset_id

    def __str__(self) -> str:
        return f"there is no data set {self.dataset_id}"


class DatasetInUse(DatasetError):
    def __init__(self, dataset_id: str, job_id: str) -> None:
        super().__init__(dataset_id, job_id)
        self.dataset_id, self.job_id = dataset_id, job_id

    def __str__(self) -> str:
        return f"data set {self.dataset_id} is used by job {self.job_id}; delete its jobs first"


class ThumbnailNotFound(DatasetError):
    def __init__(self, dataset_id: str, number: int, count: int) -> None:
        super().__init__(dataset_id, number, count)
        self.dataset_id, self.number, self.count = dataset_id, number, count

    def __str__(self) -> str:
        there = f"they are 0 to {self.count - 1}" if self.count else "it has none"
        return f"data set {self.dataset_id} has no thumbnail {self.number}; {there}"


class DatasetBuiltIn(DatasetError):
    def __init__(self, dataset_id: str) -> None:
        super().__init__(dataset_id)
        self.dataset_id = dataset_id

    def __str__(self) -> str:
        return f"data set {self.dataset_id} is always there and cannot be deleted"


@dataclass(frozen=True, kw_only=True)
class NewDataset:
    """An upload that is stored. `ingested` None: it is still to be decoded."""

    name: str
    format: str
    sha256: str
    bytes: int
    ingested: Ingested | None

    @property
    def stored_bytes(self) -> int:
        """Of the upload and of what was made of it so far."""
        made = () if self.ingested is None else (self.ingested.images, self.ingested.labels, self.ingested.sample)
        return self.bytes + sum(blob.bytes for blob in made if blob is not None)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """`sha256` names the stored file; None for the built-in one, which a library brings, and a refused one. The other
    three name the files that decoding made of it, where it did."""

    id: str
    owner: str
    name: str
    state: CheckState
    error: dict[str, Any] | None
    format: str
    sha256: str | None
    bytes: int
    classes: tuple[str, ...] | None
    counts: dict[str, dict[str, int]] | None
    image_shape: tuple[int, int, int] | None
    splits: dict[str, Any] | None
    report: dict[str, Any] | None
    images_sha256: str | None
    labels_sha256: str | None
    sample_sha256: str | None
    created_at: datetime
