"""From the names of files to classes: one folder per class, perhaps below a folder for each split."""

from collections.abc import Sequence
from dataclasses import dataclass

from adapt.data.members import Member, shown
from adapt.data.splits import Declared, split_folders
from adapt.errors import DatasetRefused

READ = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pnm")
NOT_READ = (".heic", ".heif", ".avif", ".jp2", ".jxl", ".svg", ".psd", ".dng", ".nef", ".cr2", ".arw")
"""Pictures too, so they count as images that cannot be decoded: a class of nothing else must not vanish."""
SORTED_NOTE = "class names are the folder names sorted as text (10 comes before 2), as torchvision's ImageFolder does"
_NESTED = (".npz", ".parquet", ".zip", ".tar", ".tgz", ".tar.gz")
_NESTED_HINT = ": send such a file itself, one alone (a .parquet of all splits has a column `split`)"
_FURNITURE = frozenset({"thumbs.db", "desktop.ini"})  # what Windows leaves in folders
_PACKERS = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN"})  # folders of macOS, of Synology's disks, of Windows


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """Images with their class; `declared` None: no test part was declared."""

    images: tuple[Member, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    declared: Declared | None
    notes: tuple[str, ...]


def sort_into_classes(members: Sequence[Member]) -> Sorted:
    """Raises DatasetRefused where the names are no folders of classes.

    Hidden files and the packers' own folders are left out silently, files that are no images with a note. Single
    folders around everything are taken off. Below the class, folders may go on as they like.
    """
    images, notes = _images(members)
    paths, around = without_common_folders([image.name.split("/") for image in images])
    notes += [f"the folder {shown('/'.join(around))} around everything was taken off"] if around else []
    _check_folders(images, paths, "lies in no folder of a class; the layout is <class>/<image>")
    declared, paths, told = split_folders(paths)
    paths, _around = without_common_folders(paths)
    _check_folders(
        images,
        paths,
        "lies in a split but in no folder of a class; sort it into one, or leave out images whose class is not known",
    )
    classes = sorted({path[0] for path in paths})
    number = {name: label for label, name in enumerate(classes)}
    natural = all(name.isdigit() for name in classes) and sorted(classes, key=int) != classes
    return Sorted(
        images=tuple(images),
        labels=tuple(number[path[0]] for path in paths),
        classes=tuple(shown(name) for name in classes),
        declared=declared,
        notes=(*notes, *told, *((SORTED_NOTE,) if natural else ())),
    )


def without_common_folders(paths: list[list[str]]) -> tuple[list[list[str]], list[str]]:
    """Without the folders that are around everything, as long as there are folders below them; and those folders."""
    around: list[str] = []
    while len({path[0] for path in paths}) == 1 and min(map(len, paths)) > 1 and max(map(len, paths)) > 2:
        around.append(paths[0][0])
        paths = [path[1:] for path in paths]
    return paths, around


def _check_folders(images: Sequence[Member], paths: list[list[str]], why: str) -> None:
    for image, path in zip(images, paths, strict=True):
        if len(path) < 2:
            raise DatasetRefused(shown(image.name), why)


def _images(members: Sequence[Member]) -> tuple[list[Member], list[str]]:
    visible = [member for member in members if not _is_hidden(member.name)]
    images = [member for member in visible if member.name.lower().endswith(READ + NOT_READ)]
    others = [member for member in visible if not member.name.lower().endswith(READ + NOT_READ)]
    if not any(image.name.lower().endswith(READ) for image in images):
        first = f"; the first file is {shown((images + others)[0].name)}" if visible else ""
        first += _NESTED_HINT if any(other.name.lower().endswith(_NESTED) for other in others) else ""
        raise DatasetRefused("", f"has no JPEG, PNG or WebP file, nor another that is read ({', '.join(READ)}){first}")
    if not others:
        return images, []
    files = "file that is no image" if len(others) == 1 else "files that are no images"
    return images, [f"left out: {len(others)} {files}, the first {shown(others[0].name)}"]


def _is_hidden(name: str) -> bool:
    parts = name.split("/")
    return any(part.startswith(".") or part in _PACKERS for part in parts) or parts[-1].lower() in _FURNITURE
