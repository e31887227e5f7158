"""From the names of files to classes and splits: one folder per class, perhaps below train/ and test/."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from adapt.data.members import Member, shown
from adapt.errors import DatasetRefused

IMAGES = (".jpg", ".jpeg", ".png", ".webp")
TRAIN = frozenset({"train", "training"})
TEST = frozenset({"test", "testing"})
VALIDATION = frozenset({"val", "valid", "validation", "dev"})
SORTED_NOTE = "class names are the folder names sorted as text (10 comes before 2), as torchvision's ImageFolder does"


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """Images with their class; `test` are indices of `images` (None: no test part was declared)."""

    images: tuple[Member, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    test: frozenset[int] | None
    test_from: str
    notes: tuple[str, ...]


def sort_into_classes(members: Sequence[Member]) -> Sorted:
    """Raises DatasetRefused where the names are no folders of classes.

    Hidden files and the packers' own folders are left out silently, files that are no images with a note. Single
    folders around everything are taken off. Below the class, folders may go on as they like.
    """
    images, notes = _images(members)
    paths = [image.name.split("/") for image in images]
    paths, stripped = _strip(paths)
    notes += [f"the folder {shown('/'.join(stripped))} around everything was taken off"] if stripped else []
    for image, path in zip(images, paths, strict=True):
        if len(path) < 2:
            raise DatasetRefused(shown(image.name), "lies in no folder of a class; the layout is <class>/<image>")
    test, test_from, paths, told = _split_level(paths)
    for image, path in zip(images, paths, strict=True):
        if len(path) < 2:
            raise DatasetRefused(shown(image.name), "lies in a split but in no folder of a class")
    classes = sorted({path[0] for path in paths})
    number = {name: label for label, name in enumerate(classes)}
    natural = all(name.isdigit() for name in classes) and sorted(classes, key=int) != classes
    return Sorted(
        images=tuple(images),
        labels=tuple(number[path[0]] for path in paths),
        classes=tuple(shown(name) for name in classes),
        test=test,
        test_from=test_from,
        notes=(*notes, *told, *((SORTED_NOTE,) if natural else ())),
    )


def _images(members: Sequence[Member]) -> tuple[list[Member], list[str]]:
    visible = [member for member in members if not _is_hidden(member.name)]
    images = [member for member in visible if member.name.lower().endswith(IMAGES)]
    others = [member for member in visible if not member.name.lower().endswith(IMAGES)]
    if not images:
        first = f"; the first file is {shown(others[0].name)}" if others else ""
        raise DatasetRefused("", f"has no JPEG, PNG or WebP file ({', '.join(IMAGES)}){first}")
    if not others:
        return images, []
    files = "file that is" if len(others) == 1 else "files that are"
    return images, [f"left out: {len(others)} {files} no JPEG, PNG or WebP, the first {shown(others[0].name)}"]


def _is_hidden(name: str) -> bool:
    parts = name.split("/")
    return any(part.startswith(".") or part == "__MACOSX" for part in parts) or parts[-1].lower() == "thumbs.db"


def _strip(paths: list[list[str]]) -> tuple[list[list[str]], list[str]]:
    """Without the folders that are around everything, as long as a folder for the class is left."""
    stripped: list[str] = []
    while min(map(len, paths)) > 2 and len({path[0] for path in paths}) == 1:
        stripped.append(paths[0][0])
        paths = [path[1:] for path in paths]
    return paths, stripped


def _split_level(paths: list[list[str]]) -> tuple[frozenset[int] | None, str, list[list[str]], list[str]]:
    """(test images, where they come from, the paths below the split, notes)."""
    automatic = "a stratified 20 % of the images, fixed"
    tops = Counter(path[0] for path in paths)
    known = {name: name.lower() for name in tops if name.lower() in TRAIN | TEST | VALIDATION}
    if not TRAIN & set(known.values()):
        return None, automatic, paths, []
    if others := sorted(set(tops) - set(known)):
        deep = all(len(path) > 2 for path in paths if path[0] in known)
        if len(known) > 1 and deep:
            beside = ", ".join(sorted(known))
            raise DatasetRefused(shown(others[0]), f"is a folder beside {beside}: is it a class or a split? Move it")
        return None, automatic, paths, []
    declared = {name for name, lower in known.items() if lower in TEST}
    validation = {name for name, lower in known.items() if lower in VALIDATION}
    told = []
    if declared and validation:
        told.append(
            f"the images of {', '.join(sorted(validation))} were added to the training images, from which each job "
            "cuts a hold-out of its own"
        )
    else:
        declared = declared or validation
    below = [path[1:] for path in paths]
    if not declared:
        return None, automatic, below, told
    return frozenset(i for i, path in enumerate(paths) if path[0] in declared), ", ".join(sorted(declared)), below, told
