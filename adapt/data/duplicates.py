"""Images that a data set has more than once, byte for byte. Needs no torch."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adapt.data.arrays import Labels
from adapt.data.splits import Role

Digests = NDArray[np.uint64]
"""[n], of the images as they were sent; 0: could not be read."""


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """`count` images are like an earlier one. Of the images that are there more than once, `across_splits` are in the
    test part and in another (the accuracy reported is then too good), `across_classes` have several labels."""

    count: int
    across_splits: int
    across_classes: int


def digest_of(content: bytes) -> int:
    """Never 0."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest()) or 1


def find_duplicates(digests: Digests, labels: Labels, roles: Labels) -> Duplicates:
    """`labels` and `roles` (splits.Role) are those of the images with these digests."""
    known = digests > 0
    _values, image, times = np.unique(digests[known], return_inverse=True, return_counts=True)
    return Duplicates(
        count=int((times - 1).sum()),
        across_splits=_in_several(image, roles[known] == Role.TEST),
        across_classes=_in_several(image, labels[known]),
    )


def notes_on(found: Duplicates) -> Iterator[str]:
    if not found.count:
        return
    yield f"{_images(found.count)} byte for byte like another"
    if found.across_splits:
        yield (
            f"{_images(found.across_splits)} in the test part and in another part too: the accuracy that is reported "
            "will be too good"
        )
    if found.across_classes:
        yield f"{_images(found.across_classes)} in more than one class"


def _in_several(image: NDArray[np.int64], kinds: NDArray[np.generic]) -> int:
    """How many of the images (by number) occur with more than one of the kinds."""
    pairs = np.unique(np.stack([image, kinds.astype(np.int64)]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum())


def _images(count: int) -> str:
    return "1 image is" if count == 1 else f"{count} images are"
