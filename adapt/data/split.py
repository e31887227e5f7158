"""Stratified splits and batches that depend on a seed alone. Needs no torch."""

import math
from collections.abc import Iterator

import numpy as np

from adapt.data.arrays import Labels, Rows
from adapt.errors import NotEnoughData
from adapt.spec import derive_seed

HOLDOUT_AT_MOST = 1000  # images; a small data set gives up to HOLDOUT_SMALL_SHARE of itself to reach it
HOLDOUT_SMALL_SHARE = 0.25


def split_holdout(labels: Labels, seed: int, fraction: float) -> tuple[Rows, Rows]:
    """Positions (training, hold-out) of `labels` [n], ascending, disjoint, and every class in both.

    The hold-out has the larger of `fraction` x n and min(1000, n / 4) images: with fewer, two proposals are not told
    apart (the standard error of an accuracy p is sqrt(p (1 - p) / n)).
    Raises NotEnoughData, naming the class, where one has a single image.
    """
    counts = np.bincount(labels)
    if lonely := np.flatnonzero(counts == 1).tolist():
        raise NotEnoughData(
            f"class {lonely[0]}",
            "has a single training image; a hold-out cut from the training images needs at least two of every class",
        )
    size = max(round(fraction * len(labels)), min(HOLDOUT_AT_MOST, int(HOLDOUT_SMALL_SHARE * len(labels))))
    return split_stratified(labels, seed, size, "hold-out")


def split_further(labels: Labels, seed: int, holdout: int, share: float) -> tuple[Rows, Rows]:
    """Positions (training, further) of `labels`, what is left beside a hold-out of `holdout` images: so many further
    ones that with it they are `share` of all. None of them where it is as large already."""
    size = round(share * (len(labels) + holdout)) - holdout
    if size <= 0:
        return np.arange(len(labels)), np.arange(0)
    return split_stratified(labels, seed, size, "further")


def split_stratified(labels: Labels, seed: int, size: int, name: str) -> tuple[Rows, Rows]:
    """Positions (rest, taken), ascending: about `size` images taken, of every class its share.

    A class of two or more images gives at least one and keeps at least one; a single image stays in the rest.
    The draw of one class depends on (seed, name, class) and not on the other classes.
    """
    counts = np.bincount(labels)
    taken = []
    for label, quota in enumerate(_quotas(counts, size)):
        rng = np.random.default_rng(derive_seed(seed, name, label))
        taken.append(rng.permutation(np.flatnonzero(labels == label))[:quota])
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[np.concatenate(taken)] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _quotas(counts: Rows, size: int) -> list[int]:
    """How many of each class: the largest remainders get what rounding down leaves over."""
    shares = counts * (size / max(1, counts.sum()))
    quotas = np.floor(shares).astype(np.int64)
    left_over = max(0, size - int(quotas.sum()))
    quotas[np.argsort(quotas - shares, kind="stable")[:left_over]] += 1
    return [int(min(max(quota, 1), count - 1)) if count > 1 else 0 for quota, count in zip(quotas, counts, strict=True)]


def batches(images: int, batch_size: int, seed: int) -> Iterator[Rows]:
    """Endless shuffled batches of positions 0..images-1; each epoch drops its last incomplete batch.

    With fewer images than `batch_size` every batch is all of them, in another order.
    """
    rng = np.random.default_rng(seed)
    size = min(batch_size, images)
    while True:
        order = rng.permutation(images)
        for batch in range(batches_per_epoch(images, batch_size)):
            yield order[batch * size : (batch + 1) * size]


def batches_per_epoch(images: int, batch_size: int) -> int:
    """Complete batches in one pass; one where there are fewer images than a batch holds."""
    return max(1, images // batch_size)


def in_order(images: int, batch_size: int) -> Iterator[Rows]:
    """All positions once, ascending, the last batch possibly smaller."""
    for batch in range(math.ceil(images / batch_size)):
        yield np.arange(batch * batch_size, min(images, (batch + 1) * batch_size))
