"""A data set from an .npz file that somebody sent: arrays only, nothing is unpickled. Needs no torch."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapt.data.arrays import Images, Labels
from adapt.data.dataset import Dataset, Part, whole_part
from adapt.data.npz_archive import Entry, NpzArchive
from adapt.data.split import split_stratified
from adapt.errors import DatasetRefused

TRAIN, TEST = ("x_train", "y_train"), ("x_test", "y_test")
MOST_CLASSES = 65_536
SPLIT_SEED = 0  # of the automatic test split: the same for ever, so that two jobs report on the same images
TEST_SHARE = 0.2


def load_npz(path: Path, *, name: str = "", extract_to: Path | None = None, max_bytes: int = 8 << 30) -> Dataset:
    """The data set in `path`: x_train [n, H, W, C] or [n, H, W] uint8, y_train [n] integers, optionally x_test, y_test.

    Without a test part a fifth of the images, stratified and always the same, becomes it. With `extract_to` (a
    folder of the caller's) large arrays are unpacked there and mapped instead of read into memory; `max_bytes`
    limits what the file may unpack to.
    Raises DatasetRefused, naming the entry and where possible the row.
    """
    with NpzArchive(path, max_bytes) as archive:
        entries = archive.entries()
        _check_entries(entries)
        train_images, train_labels = _read_pair(archive, entries, TRAIN, extract_to)
        test = _read_pair(archive, entries, TEST, extract_to) if TEST[0] in entries else None
    classes = _count_classes(train_labels)
    ignored = sorted(set(entries) - {*TRAIN, *TEST})
    notes = [f"ignored: the entry {entry}" for entry in ignored]
    if test is None:
        train_part, test_part = _split_off_test(train_images, train_labels)
        test_from = "a stratified 20 % of x_train, fixed"
    else:
        train_part, test_part = whole_part(train_images, train_labels), whole_part(*test)
        _check_test(test_part, train_part, classes)
        test_from = "x_test"
    empty = np.flatnonzero(np.bincount(train_part.part_labels, minlength=classes) == 0).tolist()
    notes += [f"class {label} has no training image" for label in empty[:20]]
    notes += [f"{len(empty) - 20} more classes have none either"] if len(empty) > 20 else []
    return Dataset(
        name=name or path.stem,
        origin="npz",
        train=train_part,
        test=test_part,
        classes=tuple(str(label) for label in range(classes)),
        splits={"train": len(train_part), "test": len(test_part), "test_from": test_from},
        notes=tuple(notes),
    )


def _check_entries(entries: dict[str, Entry]) -> None:
    for name in TRAIN:
        if name not in entries:
            raise DatasetRefused(name, f"is missing; the file has {', '.join(sorted(entries)) or 'no entries'}")
    if (TEST[0] in entries) != (TEST[1] in entries):
        there, missing = TEST if TEST[0] in entries else TEST[::-1]
        raise DatasetRefused(missing, f"is missing, but {there} is there; give both or neither")
    for name, entry in entries.items():
        if entry.dtype.hasobject:
            raise DatasetRefused(name, "holds Python objects, which are never unpickled; save it as plain numbers")


def _read_pair(
    archive: NpzArchive, entries: dict[str, Entry], names: tuple[str, str], extract_to: Path | None
) -> tuple[Images, Labels]:
    image_entry, label_entry = entries[names[0]], entries[names[1]]
    _check_images(names[0], image_entry)
    _check_labels(names[1], label_entry)
    if image_entry.shape[0] != label_entry.shape[0]:
        raise DatasetRefused(
            names[1], f"has {label_entry.shape[0]} labels, {names[0]} has {image_entry.shape[0]} images"
        )
    labels = _checked_labels(names[1], archive.read(label_entry, None).reshape(-1))
    images = archive.read(image_entry, extract_to)
    return images if images.ndim == 4 else images[..., np.newaxis], labels


def _check_images(name: str, entry: Entry) -> None:
    if entry.dtype != np.uint8:
        raise DatasetRefused(name, f"is {entry.dtype.name}, images must be uint8 (0-255)")
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
    if entry.dtype.kind not in "iu":
        raise DatasetRefused(name, f"is {entry.dtype.name}, labels must be integers")
    shape = entry.shape
    if len(shape) == 2 and shape[1] > 1:
        raise DatasetRefused(name, f"has the shape {list(shape)}; give class numbers [n], not one-hot rows")
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


def _split_off_test(images: Images, labels: Labels) -> tuple[Part, Part]:
    pool = whole_part(images, labels)
    train, test = split_stratified(labels, SPLIT_SEED, round(TEST_SHARE * len(labels)), "test")
    return pool.subset(train), pool.subset(test)


def _check_test(test: Part, train: Part, classes: int) -> None:
    if test.images.shape[1:] != train.images.shape[1:]:
        raise DatasetRefused(
            "x_test", f"has images of {list(test.images.shape[1:])}, x_train of {list(train.images.shape[1:])}"
        )
    beyond = test.labels >= classes
    if beyond.any():
        row = int(np.argmax(beyond))
        raise DatasetRefused(
            f"y_test[{row}]", f"is {int(test.labels[row])}, but the labels of y_train end at {classes - 1}"
        )
