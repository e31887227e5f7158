"""Which images an upload has, of which class and in which split: what the steps of decoding hand each other."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from adapt.data.counting import check_enough
from adapt.data.split import split_stratified
from adapt.data.splits import Role
from adapt.errors import DatasetRefused

SPLIT_SEED = 0  # of the automatic test split: the same for ever, so that two jobs report on the same images
TEST_SHARE = 0.2
AUTOMATIC_TEST = "a stratified 20 % of the images, fixed"
FILE = "listing.json"
MOST_CLASSES = 65_536


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Lists by position, in the upload's order. `kind` is zip, tar or parquet; names, places and sizes are empty for
    parquet, `roles` (of splits.Role) before `checked` where no test part was declared. `holdout_from` is empty where
    no hold-out was declared."""

    path: str
    kind: str
    names: list[str]
    places: list[int]
    sizes: list[int]
    labels: list[int]
    roles: list[int]
    test_from: str
    holdout_from: str
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
        roles = np.array(self.roles, dtype=np.int64)
        if not self.roles:
            check_enough(labels, labels, self.classes, 3, "three are the least (two to train on, one to test)")
            _rest, taken = split_stratified(labels, SPLIT_SEED, round(TEST_SHARE * len(labels)), "test")
            roles = np.full(len(labels), Role.TRAIN)
            roles[taken] = Role.TEST
        check_enough(
            labels[roles == Role.TRAIN],
            labels,
            self.classes,
            2,
            "two training images are the least (one becomes the hold-out; images of other splits do not count)",
            of="training image",
        )
        return replace(self, roles=roles.tolist())


def write_listing(listing: Listing, folder: Path) -> None:
    (folder / FILE).write_text(json.dumps(asdict(listing)))


def read_listing(folder: Path) -> Listing:
    """What `write_listing` left in `folder`."""
    return Listing(**json.loads((folder / FILE).read_text()))
