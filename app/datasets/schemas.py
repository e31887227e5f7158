"""Data sets as HTTP shows them."""

from typing import Any

from pydantic import BaseModel

from app.datasets.records import Dataset
from app.records import CheckState
from app.timestamps import rfc3339


class DatasetOut(BaseModel):
    """`image_shape` is [height, width, channels]; `counts` are images by class name and split; `sha256` is null for
    the built-in data set, which a library brings. `notes` tell what a person should know of the file."""

    id: str
    name: str
    state: CheckState
    error: dict[str, Any] | None
    sha256: str | None
    bytes: int
    classes: list[str] | None
    counts: dict[str, dict[str, int]] | None
    image_shape: list[int] | None
    splits: dict[str, int | str] | None
    notes: list[str]
    created_at: str | None

    @classmethod
    def of(cls, dataset: Dataset) -> "DatasetOut":
        return cls(
            id=dataset.id,
            name=dataset.name,
            state=dataset.state,
            error=dataset.error,
            sha256=dataset.sha256,
            bytes=dataset.bytes,
            classes=None if dataset.classes is None else list(dataset.classes),
            counts=dataset.counts,
            image_shape=None if dataset.image_shape is None else list(dataset.image_shape),
            splits=dataset.splits,
            notes=(dataset.report or {}).get("notes", []),
            created_at=rfc3339(dataset.created_at),
        )


class DatasetListing(BaseModel):
    data: list[DatasetOut]
    next_cursor: str | None
