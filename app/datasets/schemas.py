"""Data sets as HTTP shows them."""

from typing import Any

from pydantic import BaseModel

from adapt.data.report import SAMPLE_RULE
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


class CommonSize(BaseModel):
    size: list[int]
    images: int


class Sizes(BaseModel):
    """[height, width] in pixels of the images as they were sent."""

    smallest: list[int]
    largest: list[int]
    distinct: int
    most_common: list[CommonSize]


class Unreadable(BaseModel):
    """Images that could not be decoded and were left out."""

    count: int
    first: list[str]


class Duplicates(BaseModel):
    """Images byte for byte like an earlier one; of the different ones among them, how many are in the test part and
    elsewhere too, and how many in more than one class."""

    count: int
    across_splits: int
    across_classes: int


class Thumbnails(BaseModel):
    """`links` are PNG files of at most 128 pixels a side; `rule` says which images they are."""

    count: int
    rule: str
    links: list[str]


class ReportOut(BaseModel):
    """`image_shape` is [height, width, channels] as the images are kept; channel means and deviations are of
    pixel / 255 over the training images. What is not known (yet) is null."""

    dataset: str
    state: CheckState
    classes: list[str] | None
    counts: dict[str, dict[str, int]] | None
    splits: dict[str, int | str] | None
    image_shape: list[int] | None
    sizes: Sizes | None
    channel_mean: list[float] | None
    channel_std: list[float] | None
    unreadable: Unreadable | None
    duplicates: Duplicates | None
    notes: list[str]
    thumbnails: Thumbnails

    @classmethod
    def of(cls, dataset: Dataset, report: dict[str, Any], path: str) -> "ReportOut":
        shown = DatasetOut.of(dataset)
        count = report.get("thumbnails", 0)
        return cls(
            dataset=dataset.id,
            state=dataset.state,
            classes=shown.classes,
            counts=shown.counts,
            splits=shown.splits,
            image_shape=shown.image_shape,
            sizes=report.get("sizes"),
            channel_mean=report.get("channel_mean"),
            channel_std=report.get("channel_std"),
            unreadable=report.get("unreadable"),
            duplicates=report.get("duplicates"),
            notes=report.get("notes", []),
            thumbnails=Thumbnails(
                count=count,
                rule=SAMPLE_RULE,
                links=[f"{path}/{dataset.id}/thumbnails/{number}" for number in range(count)],
            ),
        )


class DatasetListing(BaseModel):
    data: list[DatasetOut]
    next_cursor: str | None
