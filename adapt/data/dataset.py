"""Labelled images as plain arrays: what every reader of `adapt.data` makes and training takes. Needs no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from adapt.data.arrays import Images, Labels, Rows
from adapt.data.counting import Counts, counts_by_class
from adapt.data.splits import Role
from adapt.spec import Normalization


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Some rows of a pool of images; the pool is shared between parts, never copied (it may be larger than memory)."""

    images: Images
    labels: Labels
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: Rows) -> tuple[Images, Labels]:
        """Images [k, H, W, C] and labels [k] at these positions of the part (copies)."""
        rows = self.rows[positions]
        return np.asarray(self.images[rows]), np.asarray(self.labels[rows])

    def subset(self, positions: Rows) -> "Part":
        """The part of this part; shares the images."""
        return Part(images=self.images, labels=self.labels, rows=self.rows[positions])

    @property
    def part_labels(self) -> Labels:
        """[len(self)], the labels of this part's rows."""
        return self.labels[self.rows]


def whole_part(images: Images, labels: Labels) -> Part:
    """Every row of the pool."""
    return Part(images=images, labels=labels, rows=np.arange(len(labels), dtype=np.int64))


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """`origin` is "digits" or the format it was read from ("npz", "zip" ...); `splits` says in words where the test
    part comes from; `notes` what a person should know (ignored entries, classes without an image).

    `holdout` None: none was declared, each job cuts its own off the training images. A declared one is of the same
    pool of images as `train`."""

    name: str
    origin: str
    train: Part
    test: Part
    classes: tuple[str, ...]
    splits: Mapping[str, int | str]
    holdout: Part | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) in pixels and channels."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def labels_by_role(self) -> dict[Role, Labels]:
        """Labels of each part's images."""
        holdout = np.empty(0, dtype=np.int64) if self.holdout is None else self.holdout.part_labels
        return {Role.TRAIN: self.train.part_labels, Role.TEST: self.test.part_labels, Role.HOLDOUT: holdout}

    @property
    def counts(self) -> Counts:
        return counts_by_class(self.labels_by_role, self.classes)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """What a search trains on and chooses by. The test part is not in it: it is for reporting only. `further` is set
    aside beside the hold-out, for what that does not tell apart."""

    train: Part
    holdout: Part
    normalization: Normalization
    further: Part | None = None
