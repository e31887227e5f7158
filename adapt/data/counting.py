"""How many images of which class are for what, in figures and in words. Needs no torch."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from adapt.data.arrays import Labels
from adapt.data.splits import Role
from adapt.errors import NotEnoughData

MOST_NAMED = 5
Counts = dict[str, dict[str, int]]
"""Class name -> images in each part: {"cat": {"train": 144, "test": 36}}; "holdout" only where one was declared."""


def counts_by_class(parts: Mapping[Role, Labels], classes: Sequence[str]) -> Counts:
    """`parts` are the labels of each part's images."""
    counted = {
        role.name.lower(): np.bincount(labels, minlength=len(classes))
        for role, labels in parts.items()
        if len(labels) or role is not Role.HOLDOUT
    }
    return {name: {part: int(counts[label]) for part, counts in counted.items()} for label, name in enumerate(classes)}


def describe_splits(parts: Mapping[Role, Labels], *, test_from: str, holdout_from: str = "") -> dict[str, int | str]:
    """Images in each part, and in words where the test part and a declared hold-out come from."""
    splits: dict[str, int | str] = {
        "train": len(parts[Role.TRAIN]),
        "test": len(parts[Role.TEST]),
        "test_from": test_from,
    }
    if holdout_from:
        splits |= {"holdout": len(parts[Role.HOLDOUT]), "holdout_from": holdout_from}
    return splits


def notes_on_classes(counts: Counts) -> Iterator[str]:
    """Which classes have no image in a part that others have images in."""
    for part, word in (("train", "training"), ("holdout", "hold-out"), ("test", "test")):
        without = [name for name, by_part in counts.items() if by_part.get(part) == 0]
        if without:
            more = f" and {len(without) - MOST_NAMED} more" if len(without) > MOST_NAMED else ""
            classes = "class" if len(without) == 1 else "classes"
            yield f"no {word} image of the {classes} {', '.join(without[:MOST_NAMED])}{more}"


def check_enough(
    labels: Labels, among: Labels, classes: Sequence[str], least: int, why: str, *, of: str = "image"
) -> None:
    """Every class that has an image `among` all must have `least` in `labels`; of the others there are none anywhere,
    which is a network's business. `of` says what the labels are of.

    Raises NotEnoughData, naming up to MOST_NAMED classes.
    """
    counts, all_counts = np.bincount(labels, minlength=len(classes)), np.bincount(among, minlength=len(classes))
    short = [
        (name, int(counts[label])) for label, name in enumerate(classes) if all_counts[label] and counts[label] < least
    ]
    if short:
        name, count = short[0]
        others = f"; so it is with {', '.join(name for name, _ in short[1:MOST_NAMED])}" if len(short) > 1 else ""
        more = f" and {len(short) - MOST_NAMED} more" if len(short) > MOST_NAMED else ""
        raise NotEnoughData(f"class {name}", f"has {count} {of}{'' if count == 1 else 's'}, {why}{others}{more}")
