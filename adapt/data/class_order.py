"""Which output of a network is which class of a data set, where both have names. Needs no torch."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from adapt.data.dataset import Dataset, Part
from adapt.errors import DatasetRefused

MOST_SHOWN = 10
_NUMBERED = frozenset({"npz", "parquet"})


def are_names(classes: Sequence[str], origin: str) -> bool:
    """False for the numbers that stand for names where an upload of this format (`origin`) states none: those are
    the outputs' own."""
    return origin not in _NUMBERED or list(classes) != [str(number) for number in range(len(classes))]


def class_order(classes: Sequence[str], names: Sequence[str]) -> list[int] | None:
    """For each class of the data set its output of the network; None where no name is common to both: then class k
    is output k. Upper and lower case, `_`, `-` and spaces are alike.

    Raises DatasetRefused where some names are common and others not: one of the two lists is wrong.
    """
    keys, outputs = [_key(name) for name in classes], {_key(name): output for output, name in enumerate(names)}
    if len(set(keys)) < len(keys) or len(outputs) < len(names) or not set(keys) & set(outputs):
        return None
    if foreign := [name for name, key in zip(classes, keys, strict=True) if key not in outputs]:
        raise DatasetRefused(
            "classes",
            f"{foreign[0]} is a class of the data set and no output of the network, others are both; the network's are "
            f"{_list(names)}",
        )
    return [outputs[key] for key in keys]


def in_order_of(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """`dataset` with its classes in the order of the network's outputs; its notes say so where that changes anything.

    Raises DatasetRefused, see `class_order`.
    """
    if not are_names(dataset.classes, dataset.origin):
        return dataset
    order = class_order(dataset.classes, names)
    if order is None:
        note = f"no name of a class ({_list(dataset.classes)}) is one of the network's ({_list(names)}): taken in order"
        return replace(dataset, notes=(*dataset.notes, note))
    if order == list(range(len(order))):
        return dataset
    output_of = np.array([*order, -1], dtype=np.int64)  # the last one: -1, an image without a class, stays so
    train = replace(dataset.train, labels=output_of[dataset.train.labels])
    note = f"the classes were put into the order of the network's outputs: {_list(names)}"
    return replace(
        dataset,
        train=train,
        holdout=None if dataset.holdout is None else replace(dataset.holdout, labels=train.labels),
        test=_like(dataset, train, output_of),
        classes=tuple(dataset.classes[order.index(output)] for output in range(len(order))),
        notes=(*dataset.notes, note),
    )


def _like(dataset: Dataset, train: Part, output_of: "np.typing.NDArray[np.int64]") -> Part:
    """The test part: with the very labels of the training part where it had them before."""
    same = dataset.test.labels is dataset.train.labels
    return replace(dataset.test, labels=train.labels if same else output_of[dataset.test.labels])


def _key(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_SHOWN]) + (" ..." if len(names) > MOST_SHOWN else "")
