"""What a data set looks like: its report, and thumbnails as PNG."""

import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from adapt.data.arrays import Images
from adapt.data.digits import digits
from adapt.data.report import Statistics, describe_sizes, write_sample
from app.datasets.records import Dataset, ThumbnailNotFound
from app.records import SYSTEM_OWNER
from app.storage import Storage


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """`png` are the file's bytes, `sha256` their hash."""

    png: bytes
    sha256: str


def report_of(dataset: Dataset) -> dict[str, Any]:
    """Sizes, channel means, what could not be read, notes and the number of thumbnails, as far as they were taken:
    while a data set is checked nothing is known yet, and of those read by earlier versions only the notes."""
    if dataset.owner == SYSTEM_OWNER:
        return _builtin()[0]
    return dataset.report or {}


def thumbnail_of(dataset: Dataset, number: int, storage: Storage) -> Thumbnail:
    """The `number`-th of the sample, counted from 0. Raises ThumbnailNotFound."""
    sample = _sample_of(dataset, storage)
    if not 0 <= number < len(sample):
        raise ThumbnailNotFound(dataset.id, number, len(sample))
    pixels, buffer = sample[number], io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return Thumbnail(png=buffer.getvalue(), sha256=hashlib.sha256(buffer.getvalue()).hexdigest())


def _sample_of(dataset: Dataset, storage: Storage) -> Images:
    if dataset.owner == SYSTEM_OWNER:
        return _builtin()[1]
    if dataset.sample_sha256 is None:
        return np.empty((0, 1, 1, 1), dtype=np.uint8)
    # Written by us from pixels: an array of numbers and nothing else.
    sample: Images = np.load(io.BytesIO(storage.read(dataset.sample_sha256)), allow_pickle=False)
    return sample


@cache
def _builtin() -> tuple[dict[str, Any], Images]:
    """Report and sample of the built-in digits; they load scikit-learn, so not before somebody asks."""
    found = digits()
    statistics = Statistics.of_part(found.train)
    file = io.BytesIO()
    count = write_sample(found.train.images, found.train.labels, file)
    file.seek(0)
    sample: Images = np.load(file, allow_pickle=False)
    report = {
        "sizes": describe_sizes(Counter({found.image_shape[:2]: len(found.train) + len(found.test)})),
        "channel_mean": statistics.mean,
        "channel_std": statistics.std,
        "unreadable": {"count": 0, "first": []},
        "thumbnails": count,
        "notes": [],
    }
    return report, sample
