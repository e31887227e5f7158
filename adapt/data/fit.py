"""Does a data set fit a network? Needs no torch."""

import numpy as np

from adapt.data import digits as builtin
from adapt.data.dataset import Dataset
from adapt.errors import DatasetRefused


def fit_to(dataset: Dataset, input_shape: tuple[int, int, int], classes: int) -> Dataset:
    """`dataset` for a network of input (C, H, W) and `classes` outputs: checked, and for `digits` enlarged.

    Images that users sent are never resized: how they were made small is part of what the network was trained on.
    Raises DatasetRefused with both sides' figures.
    """
    channels, height, width = input_shape
    _check_classes(dataset, classes)
    if dataset.origin == builtin.NAME and dataset.image_shape != (height, width, channels):
        return builtin.digits((height, width), channels)
    if dataset.image_shape != (height, width, channels):
        found = " x ".join(str(side) for side in dataset.image_shape)
        raise DatasetRefused(
            "x_train",
            f"the images are {found} (height x width x channels), the network takes {height} x {width} x {channels}; "
            "prepare the images as in training",
        )
    return dataset


def _check_classes(dataset: Dataset, classes: int) -> None:
    count = len(dataset.classes)
    if count > classes:
        labels = dataset.train.part_labels
        row = int(np.argmax(labels >= classes))
        raise DatasetRefused(
            "y_train",
            f"the data set has {count} classes, the network {classes} outputs: row {row} of the training part is "
            f"labelled {int(labels[row])}, beyond the last output {classes - 1}",
        )
    if count < classes:
        raise DatasetRefused(
            "y_train",
            f"the data set has {count} classes (labels 0..{count - 1}), the network {classes} outputs; "
            "they must be equal, in the network's order",
        )
