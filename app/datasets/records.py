"""A data set as the service knows it: no rows, no HTTP."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

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


class DatasetBuiltIn(DatasetError):
    def __init__(self, dataset_id: str) -> None:
        super().__init__(dataset_id)
        self.dataset_id = dataset_id

    def __str__(self) -> str:
        return f"data set {self.dataset_id} is always there and cannot be deleted"


@dataclass(frozen=True, kw_only=True)
class NewDataset:
    """`counts` are class name -> {"train": n, "test": n}; `image_shape` is (H, W, C)."""

    name: str
    format: str
    sha256: str
    bytes: int
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    image_shape: tuple[int, int, int]
    splits: dict[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """`sha256` names the stored file; None for the built-in one, which a library brings."""

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
    created_at: datetime
