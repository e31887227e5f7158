"""A data set from an .npz file that somebody sent: arrays only, nothing is unpickled. Needs no torch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapt.data.arrays import Images, Labels
from adapt.data.counting import check_enough, describe_splits, notes_on_classes
from adapt.data.dataset import Dataset, Part, whole_part
from adapt.data.npz_archive import Entry, NpzArchive
from adapt.data.split import split_stratified
from adapt.errors import DatasetRefused

TRAIN, HOLDOUT, TEST = ("x_train", "y_train"), ("x_val", "y_val"), ("x_test", "y_test")
MOST_CLASSES = 65_536
SPLIT_SEED = 0  # of the automatic test split: the same for ever, so that two jobs report on the same images
TEST_SHARE = 0.2


def load_npz(path: Path, *, name: str = "", extract_to: Path | None = None, max_bytes: int = 8 << 30) -> Dataset:
    """The data set in `path`: x_train [n, H, W, C] or [n, H, W] uint8, y_train [n] integers, optionally x_val, y_val
    (the hold-out) and x_test, y_test.

    Without x_test, x_val is the test part; without either a fifth of the images, stratified and always the same,
    becomes it. With `extract_to` (a folder of the caller's) large arrays are unpacked there and mapped instead of read
    into memory; `max_bytes` limits what the file may unpack to.
    Raises DatasetRefused, naming the entry and where possible the row, and NotEnoughData, naming the class.
    """
    with NpzArchive(path, max_bytes) as archive:
        entries = archive.entries()
        _check_entries(entries)
        given = [names for names in (HOLDOUT, TEST) if names[0] in entries]
        apart = given[-1:]  # the test part has arrays of its own, the hold-out is of one pool with the training images
        pooled = [TRAIN, *given[:-1]]
        images, labels = _read_pool(archive, entries, pooled, extract_to)
        test_pool = [_read_pool(archive, entries, [names], extract_to) for names in apart]
    train_count = entries[TRAIN[0]].shape[0]
    classes = _count_classes(labels[:train_count])
    rows = np.arange(len(labels))
    pool = whole_part(images, labels)
    train, holdout = pool.subset(rows[:train_count]), pool.subset(rows[train_count:]) if pooled[1:] else None
    if test_pool:
        test = whole_part(*test_pool[0])
        _check_like(test, train, classes, apart[0])
        test_from = apart[0][0]
    else:
        _check_each(train.part_labels, classes, 3, "three are the least (two to train on, one to test)")
        train, test = _split_off_test(train)
        test_from = "a stratified 20 % of x_train, fixed"
    if holdout is not None:
        _check_like(holdout, train, classes, HOLDOUT)
    _check_each(train.part_labels, classes, 2, "two training images are the least (one becomes the hold-out)")
    return _dataset(name or path.stem, classes, train, holdout, test, test_from, ignored=_ignored(entries))


def _dataset(
    name: str, classes: int, train: Part, holdout: Part | None, test: Part, test_from: str, *, ignored: list[str]
) -> Dataset:
    found = Dataset(
        name=name,
        origin="npz",
        train=train,
        holdout=holdout,
        test=test,
        classes=tuple(str(label) for label in range(classes)),
        splits={},
    )
    holdout_from = "" if holdout is None else HOLDOUT[0]
    splits = describe_splits(found.labels_by_role, test_from=test_from, holdout_from=holdout_from)
    return replace(found, splits=splits, notes=(*ignored, *notes_on_classes(found.counts)))


def _ignored(entries: dict[str, Entry]) -> list[str]:
    return [f"ignored: the entry {entry}" for entry in sorted(set(entries) - {*TRAIN, *HOLDOUT, *TEST})]


def _check_entries(entries: dict[str, Entry]) -> None:
    for name in TRAIN:
        if name not in entries:
            raise DatasetRefused(
                name,
                f"is missing; the file has {', '.join(sorted(entries)) or 'no entries'}; save it by "
                "numpy.savez(file, x_train=images, y_train=labels)",
            )
    for names in (HOLDOUT, TEST):
        if (names[0] in entries) != (names[1] in entries):
            there, missing = names if names[0] in entries else names[::-1]
            raise DatasetRefused(missing, f"is missing, but {there} is there; give both or neither")
    for name, entry in entries.items():
        if entry.dtype.hasobject:
            raise DatasetRefused(name, "holds Python objects, which are never unpickled; save it as plain numbers")


def _read_pool(
    archive: NpzArchive, entries: dict[str, Entry], pairs: Sequence[tuple[str, str]], extract_to: Path | None
) -> tuple[Images, Labels]:
    """Images and labels of these pairs of entries, one behind the other."""
    for images, labels in pairs:
        _check_images(images, entries[images])
        _check_labels(labels, entries[labels])
        if entries[images].shape[0] != entries[labels].shape[0]:
            raise DatasetRefused(
                labels, f"has {entries[labels].shape[0]} labels, {images} has {entries[images].shape[0]} images"
            )
        _check_size(images, entries[images], pairs[0][0], entries[pairs[0][0]])
    numbers = [_checked_labels(labels, archive.read([entries[labels]], None).reshape(-1)) for _, labels in pairs]
    pixels = archive.read([entries[images] for images, _ in pairs], extract_to)
    return pixels if pixels.ndim == 4 else pixels[..., np.newaxis], np.concatenate(numbers)


def _check_size(name: str, entry: Entry, other_name: str, other: Entry) -> None:
    if entry.shape[1:] != other.shape[1:]:
        raise DatasetRefused(name, f"has images of {list(entry.shape[1:])}, {other_name} of {list(other.shape[1:])}")


def _check_images(name: str, entry: Entry) -> None:
    if entry.dtype != np.uint8:
        made = "(x * 255).round().astype('uint8') where x is 0-1" if entry.dtype.kind == "f" else "x.astype('uint8')"
        raise DatasetRefused(name, f"is {entry.dtype.name}, images must be uint8 (0-255): save {made}")
    shape = entry.shape
    if len(shape) not in (3, 4):
        raise DatasetRefused(name, f"has the shape {list(shape)}, images are [n, height, width, channels]")
    if shape[0] == 0:
        raise DatasetRefused(name, "is empty; at least one image is needed")
    if 0 in shape:
        raise DatasetRefused(name, f"has the shape {list(shape)}: an image of no pixels")
    if len(shape) == 3 and shape[2] <= 4:
        raise DatasetRefused(
            name, f"has the shape {list(shape)}: a flat array or grey images? Save it as [n, height, width, channels]"
        )
    if len(shape) == 4 and shape[1] in (1, 3) and shape[3] > 4:
        raise DatasetRefused(
            name, f"has the shape {list(shape)}, channels first; save it channels last (x.transpose(0, 2, 3, 1))"
        )


def _check_labels(name: str, entry: Entry) -> None:
    shape = entry.shape
    if len(shape) == 2 and shape[1] > 1:
        raise DatasetRefused(
            name, f"has the shape {list(shape)}; give class numbers [n], not one-hot rows: y.argmax(1)"
        )
    if entry.dtype.kind not in "iu":
        raise DatasetRefused(name, f"is {entry.dtype.name}, labels must be integers: save y.astype('int64')")
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
        raise DatasetRefused(name, f"has the shape {list(shape)}, labels are [n]")


def _checked_labels(name: str, labels: NDArray[np.integer]) -> Labels:
    for wrong, why in (
        (labels < 0, "negative labels are no class"),
        (labels >= MOST_CLASSES, f"labels are 0..{MOST_CLASSES - 1} at most"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DatasetRefused(f"{name}[{row}]", f"is {int(labels[row])}: {why}")
    return labels.astype(np.int64)


def _count_classes(labels: Labels) -> int:
    present = np.unique(labels)
    if len(present) < 2:
        raise DatasetRefused("y_train", f"has one class only (label {int(present[0])}); at least two are needed")
    return int(present[-1]) + 1


def _split_off_test(pool: Part) -> tuple[Part, Part]:
    labels = pool.part_labels
    train, test = split_stratified(labels, SPLIT_SEED, round(TEST_SHARE * len(labels)), "test")
    return pool.subset(train), pool.subset(test)


def _check_each(labels: Labels, classes: int, least: int, why: str) -> None:
    check_enough(labels, labels, [str(label) for label in range(classes)], least, why, of="training image")


def _check_like(part: Part, train: Part, classes: int, names: tuple[str, str]) -> None:
    if part.images.shape[1:] != train.images.shape[1:]:
        raise DatasetRefused(
            names[0], f"has images of {list(part.images.shape[1:])}, x_train of {list(train.images.shape[1:])}"
        )
    beyond = part.part_labels >= classes
    if beyond.any():
        row = int(np.argmax(beyond))
        raise DatasetRefused(
            f"{names[1]}[{row}]", f"is {int(part.part_labels[row])}, but the labels of y_train end at {classes - 1}"
        )
