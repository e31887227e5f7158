"""Which images an upload has, of which class and in which split: what the steps of decoding hand each other."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from adapt.data.split import split_stratified
from adapt.errors import DatasetRefused, NotEnoughData

SPLIT_SEED = 0  # of the automatic test split: the same for ever, so that two jobs report on the same images
TEST_SHARE = 0.2
FILE = "listing.json"
MOST_CLASSES = 65_536


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Lists by position, in the upload's order. `kind` is zip, tar or parquet; names, places and sizes are empty for
    parquet, `test` before `checked` where no test part was declared."""

    path: str
    kind: str
    names: list[str]
    places: list[int]
    sizes: list[int]
    labels: list[int]
    test: list[bool]
    test_from: str
    classes: list[str]
    notes: list[str]

    def checked(self) -> "Listing":
        """With a test part in any case. Raises DatasetRefused for one class only, NotEnoughData, naming the class."""
        if len(self.classes) < 2 or len(set(self.labels)) < 2:
            only = self.classes[self.labels[0]]
            raise DatasetRefused("", f"has one class only ({only}); at least two are needed")
        if len(self.classes) > MOST_CLASSES:
            raise DatasetRefused("", f"has {len(self.classes)} classes, at most {MOST_CLASSES} are accepted")
        labels = np.array(self.labels, dtype=np.int64)
        test = np.array(self.test, dtype=bool)
        if not self.test:
            check_enough(labels, self.classes, 3, "three are the least (two to train on, one to test)")
            _rest, taken = split_stratified(labels, SPLIT_SEED, round(TEST_SHARE * len(labels)), "test")
            test = np.zeros(len(labels), dtype=bool)
            test[taken] = True
        check_enough(labels[~test], self.classes, 2, "two training images are the least (one becomes the hold-out)")
        return replace(self, test=test.tolist())


def check_enough(labels: "np.typing.NDArray[np.int64]", classes: list[str], least: int, why: str) -> None:
    """Raises NotEnoughData, naming up to five classes."""
    counts = Counter(labels.tolist())
    short = [(name, counts[label]) for label, name in enumerate(classes) if counts[label] < least]
    if short:
        name, count = short[0]
        others = f"; so it is with {', '.join(name for name, _ in short[1:5])}" if len(short) > 1 else ""
        more = f" and {len(short) - 5} more" if len(short) > 5 else ""
        raise NotEnoughData(f"class {name}", f"has {count} image{'' if count == 1 else 's'}, {why}{others}{more}")


def write_listing(listing: Listing, folder: Path) -> None:
    (folder / FILE).write_text(json.dumps(asdict(listing)))


def read_listing(folder: Path) -> Listing:
    """What `write_listing` left in `folder`."""
    return Listing(**json.loads((folder / FILE).read_text()))
