"""A data set made to fit a network. Needs no torch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from adapt.data import digits as builtin
from adapt.data.class_order import in_order_of
from adapt.data.dataset import Dataset, Part
from adapt.data.resizing import COLOUR, GREY, resized
from adapt.errors import DatasetRefused


def fit_to(
    dataset: Dataset,
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    names: Sequence[str] | None = None,
    folder: Path | None = None,
) -> Dataset:
    """`dataset` for a network of input (C, H, W) and `classes` outputs; its notes say what was done to the images.

    Images of another size are scaled (bilinear with antialiasing) until they cover the input, and cropped from the
    centre; grey becomes three equal channels, colour its luminance. With `names` of the outputs, classes of the same
    names are put into that order. `folder` is where large results may go.
    Raises DatasetRefused, with both sides' figures, for other classes and for channels that are neither 1 nor 3.
    """
    channels, height, width = input_shape
    shape = (height, width, channels)
    _check_classes(dataset, classes)
    if names:
        dataset = in_order_of(dataset, names)
    if dataset.image_shape == shape:
        return dataset
    if dataset.origin == builtin.NAME:
        return _like_digits(dataset, builtin.digits((height, width), channels))
    if not channels_fit(dataset.image_shape[2], channels):
        raise DatasetRefused(
            "x_train",
            f"the images have {dataset.image_shape[2]} channels, the network takes {channels}; "
            "only grey (1) and colour (3) are converted into each other",
        )
    train = replace(dataset.train, images=resized(dataset.train.images, shape, folder))
    return replace(
        dataset,
        train=train,
        holdout=None if dataset.holdout is None else replace(dataset.holdout, images=train.images),
        test=_like(dataset, train, shape, folder),
        notes=(*dataset.notes, *_told(dataset, shape)),
    )


def channels_fit(found: int, wanted: int) -> bool:
    """As they are, or by a conversion between grey and colour."""
    return found == wanted or {found, wanted} == {GREY, COLOUR}


def _like_digits(dataset: Dataset, larger: Dataset) -> Dataset:
    """`larger` with the labels of `dataset`, which are perhaps in another order."""
    train, test = (replace(part, images=larger.train.images) for part in (dataset.train, dataset.test))
    return replace(dataset, train=train, test=test)


def _like(dataset: Dataset, train: Part, shape: tuple[int, int, int], folder: Path | None) -> Part:
    """The test part: of the same pool of images where it was of one before."""
    same = dataset.test.images is dataset.train.images
    return replace(dataset.test, images=train.images if same else resized(dataset.test.images, shape, folder))


def _told(dataset: Dataset, shape: tuple[int, int, int]) -> list[str]:
    found, told = dataset.image_shape, []
    if found[:2] != shape[:2]:
        told.append(
            f"the images of {found[0]} x {found[1]} (height x width) were scaled (bilinear, antialiased) to cover the "
            f"network's {shape[0]} x {shape[1]} and cropped from the centre"
        )
    if found[2] != shape[2]:
        told.append(
            "the grey images were given three equal channels, which the network takes"
            if shape[2] == COLOUR
            else "the colour images were turned to grey (their luminance), which the network takes"
        )
    return told


def _check_classes(dataset: Dataset, classes: int) -> None:
    count = len(dataset.classes)
    if count > classes:
        labels = dataset.train.part_labels
        row = int(np.argmax(labels))
        beyond = (
            f": row {row} of the training part is labelled {int(labels[row])}, beyond the last output {classes - 1}"
            if labels[row] >= classes
            else ""
        )
        raise DatasetRefused("y_train", f"the data set has {count} classes, the network {classes} outputs{beyond}")
    if count < classes:
        raise DatasetRefused(
            "y_train",
            f"the data set has {count} classes (labels 0..{count - 1}), the network {classes} outputs; "
            "they must be equal, in the network's order",
        )
