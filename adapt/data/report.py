"""What a person wants to see of a data set: sizes, channel means, a few images. Needs no torch."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from adapt.data.arrays import Images
from adapt.data.dataset import Part
from adapt.data.resizing import resized
from adapt.spec import Normalization

THUMBNAILS = 24
THUMBNAIL_SIDE = 128  # pixels at most
MOST_COUNTED = 4096  # images that channel means of an array are taken from
Histogram = NDArray[np.int64]
"""[C, 256]: how many pixels of each channel have each value."""
SAMPLE_RULE = "the first images of each class, class by class in turn"


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Mean and standard deviation per channel of pixel / 255, over the training images."""

    mean: list[float]
    std: list[float]

    @classmethod
    def of_histogram(cls, histogram: Histogram) -> "Statistics":
        images = np.maximum(1, histogram.sum(axis=1))
        values = np.arange(256) / 255
        mean, squares = histogram @ values / images, histogram @ values**2 / images
        return cls(mean=_rounded(mean), std=_rounded(np.sqrt(np.maximum(0, squares - mean**2))))

    @classmethod
    def of_part(cls, part: Part) -> "Statistics":
        """Of up to MOST_COUNTED images, evenly spaced."""
        chosen = np.unique(np.linspace(0, len(part) - 1, min(len(part), MOST_COUNTED)).astype(np.int64))
        return cls.of_histogram(np.sum([histogram_of(part.images[row]) for row in part.rows[chosen]], axis=0))


def histogram_of(pixels: NDArray[np.uint8]) -> Histogram:
    """Of one image [H, W, C]."""
    return np.stack([np.bincount(plane.ravel(), minlength=256) for plane in np.moveaxis(pixels, 2, 0)])


def of_images(part: Part) -> Normalization:
    """That by which the images have mean 0 and deviation 1 in each channel; a channel of one value is not stretched."""
    taken = Statistics.of_part(part)
    return Normalization(mean=tuple(taken.mean), std=tuple(value if value > 0 else 1.0 for value in taken.std))


def describe_sizes(sizes: Counter[tuple[int, int]]) -> dict[str, Any]:
    """Of the images as they were sent: [height, width] in pixels."""
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    common = [{"size": list(size), "images": images} for size, images in sizes.most_common(10)]
    return {
        "smallest": list(by_area[0]),
        "largest": list(by_area[-1]),
        "distinct": len(sizes),
        "most_common": common,
    }


def write_sample(images: Images, labels: NDArray[np.int64], file: Path | IO[bytes]) -> int:
    """Thumbnails by SAMPLE_RULE as [k, h, w, C] uint8, at most THUMBNAIL_SIDE high and wide; returns k.

    Rows labelled -1 are none. At most 3 channels are shown.
    """
    rows = _sample(labels)
    _n, height, width, channels = images.shape
    scale = min(1.0, THUMBNAIL_SIDE / max(height, width))
    shape = (max(1, round(height * scale)), max(1, round(width * scale)), channels)
    np.save(file, resized(images[rows], shape)[..., : 1 if channels == 2 else 3], allow_pickle=False)
    return len(rows)


def _sample(labels: NDArray[np.int64]) -> list[int]:
    present = [np.flatnonzero(labels == label)[:THUMBNAILS] for label in np.unique(labels[labels >= 0])[:THUMBNAILS]]
    turns = (int(rows[turn]) for turn in range(THUMBNAILS) for rows in present if turn < len(rows))
    return [row for row, _ in zip(turns, range(THUMBNAILS), strict=False)]


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 6) for value in values]
