"""Which folders or words declare a split: train, test and hold-out, under the names that people give them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from adapt.data.members import shown
from adapt.errors import DatasetRefused


class Role(IntEnum):
    """What an image is for, as it is kept beside its label."""

    TRAIN = 0
    TEST = 1
    HOLDOUT = 2


_WORDS = {
    Role.TRAIN: ("train", "training"),
    Role.TEST: ("test", "testing"),
    Role.HOLDOUT: ("val", "valid", "validation", "dev"),
}
_NAMES = {
    role: re.compile(rf"({'|'.join(words)})([-_ ]?(set|data|dataset|images?|imgs?|split))?")
    for role, words in _WORDS.items()
}


@dataclass(frozen=True, kw_only=True)
class Declared:
    """`roles` by position; `test_from` and `holdout_from` name the folders or words, empty where there are none."""

    roles: tuple[Role, ...]
    test_from: str
    holdout_from: str


def declared_by(names: Iterable[str], roles: Mapping[str, Role]) -> Declared | None:
    """Of images whose split is called `names`. Without a test part the declared hold-out is the test part, and
    without either nothing is declared: each job cuts its own hold-out off the training images."""
    words = {role: ", ".join(sorted(name for name in roles if roles[name] is role)) for role in Role}
    if not words[Role.TEST]:
        roles = {name: Role.TEST if role is Role.HOLDOUT else role for name, role in roles.items()}
        words = {Role.TEST: words[Role.HOLDOUT], Role.HOLDOUT: ""}
    if not words[Role.TEST]:
        return None
    return Declared(
        roles=tuple(roles[name] for name in names),
        test_from=shown(words[Role.TEST]),
        holdout_from=shown(words[Role.HOLDOUT]),
    )


def roles_of(names: Iterable[str]) -> dict[str, Role]:
    """Those of the names that are a split's. A beginning that all share (seg_train, seg_test) does not count."""
    lower = {name: name.lower() for name in names}
    found = {name: role for name in lower if (role := _role(lower[name])) is not None}
    if found or len(lower) < 2:
        return found
    heads = {re.split("[-_ ]", text, maxsplit=1)[0] for text in lower.values()}
    if len(heads) > 1:
        return {}
    return {name: role for name in lower if (role := _role(re.split("[-_ ]", lower[name], maxsplit=1)[-1])) is not None}


def split_folders(paths: list[list[str]]) -> tuple[Declared | None, list[list[str]], list[str]]:
    """What the folders declare, the paths below the splits, and notes. Splits may lie around the classes or in them.

    Raises DatasetRefused where a folder beside the splits could be either.
    """
    told = []
    if _splits_inside(paths):
        paths = [[path[1], path[0], *path[2:]] for path in paths]
        told.append("the splits were found inside the folders of classes")
    tops = {path[0] for path in paths}
    roles = roles_of(tops)
    if Role.TRAIN not in roles.values():
        return None, paths, []
    if others := sorted(tops - set(roles)):
        if len(roles) > 1 and all(len(path) > 2 for path in paths if path[0] in roles):
            beside = ", ".join(sorted(map(shown, roles)))
            raise DatasetRefused(
                shown(others[0]),
                f"is a folder beside {beside}: is it a class or a split? Move it, or leave it out of the archive",
            )
        return None, paths, []
    return declared_by([path[0] for path in paths], roles), _below(paths, roles), told


def _role(name: str) -> Role | None:
    return next((role for role, pattern in _NAMES.items() if pattern.fullmatch(name)), None)


def _splits_inside(paths: list[list[str]]) -> bool:
    """<class>/<split>/<image>: every class has folders of splits and nothing else."""
    if min(map(len, paths)) < 3:
        return False
    tops, inside = {path[0] for path in paths}, {path[1] for path in paths}
    roles = roles_of(inside)
    return not roles_of(tops) and set(roles) == inside and {Role.TRAIN} < set(roles.values())


def _below(paths: list[list[str]], roles: Mapping[str, Role]) -> list[list[str]]:
    """Without the splits' folders, of which some packers make two, one in the other."""
    doubled = {
        top: all(len(path) > 3 and path[1].lower() == top.lower() for path in paths if path[0] == top) for top in roles
    }
    return [path[2:] if doubled[path[0]] else path[1:] for path in paths]
