"""Is a stranger's .npz file a data set, and which? Read in a child process with limits. Needs no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapt.child_process import ChildEnded, ChildLimits, more_memory, run_in_child
from adapt.errors import DatasetRefused, NotEnoughData

PRIVATE_BYTES = 2 << 30
"""Memory of a child beside what it maps from files: large arrays are mapped, and take address space alone."""
_ERRORS = {"dataset": DatasetRefused, "images": NotEnoughData}


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """`image_shape` is (H, W, C); `counts` are class name -> {"train": n, "test": n}; `notes` is for people.

    `report` has sizes, channel_mean, channel_std (of pixel / 255) and the number of thumbnails where they were taken.
    """

    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    image_shape: tuple[int, int, int]
    splits: dict[str, int | str]
    notes: tuple[str, ...]
    report: Mapping[str, Any] = field(default_factory=dict)


def inspect_npz(path: Path, scratch: Path, limits: ChildLimits, *, max_bytes: int) -> DatasetFacts:
    """The facts of the .npz file at `path`, every byte of it read.

    `scratch` is an empty folder for unpacked arrays, which may take `max_bytes`, and for sample.npy, the thumbnails.
    Raises DatasetRefused or NotEnoughData, also for a limit that reading it ran into.
    """
    arguments = [str(path.resolve()), str(scratch.resolve()), str(max_bytes)]
    try:
        outcome = run_in_child("adapt.data.inspection_process", arguments, limits)
    except ChildEnded as error:
        raise DatasetRefused("", error.why) from error
    if outcome["kind"] in _ERRORS:
        raise _ERRORS[outcome["kind"]](*outcome["arguments"])
    if outcome["kind"] == "memory":
        raise DatasetRefused("", f"reading it takes {more_memory(limits)}")
    height, width, channels = outcome["image_shape"]
    return DatasetFacts(
        classes=tuple(outcome["classes"]),
        counts=outcome["counts"],
        image_shape=(height, width, channels),
        splits=outcome["splits"],
        notes=tuple(outcome["notes"]),
        report=outcome["report"],
    )
