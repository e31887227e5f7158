"""Every zoo name: `[se_]<family>[_<width>][_<resolution>]`, resolution in pixels."""

import re
from collections.abc import Mapping
from difflib import get_close_matches

from adapt.zoo import (
    alexnet,
    densenet,
    efficientnet,
    googlenet,
    inception_v2,
    inception_v3,
    mnasnet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    nasnet,
    resnet,
    shufflenet_v2,
    squeezenet,
    vgg,
)
from adapt.zoo.architecture import REDUCTION, Architecture, ArchitectureNotFound, Family

_SUBJECTS = (
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    mnasnet,
    efficientnet,
    nasnet,
    shufflenet_v2,
    squeezenet,
    resnet,
    googlenet,
    inception_v2,
    inception_v3,
    densenet,
    vgg,
    alexnet,
)

FAMILIES: Mapping[str, Family] = {family.name: family for subject in _SUBJECTS for family in subject.FAMILIES}

_NAME = re.compile(
    r"(?P<se>se_)?(?P<family>[a-z0-9_]+?)(?:_(?P<width>[0-9]\.[0-9]{1,2}))?(?:_(?P<size>[1-9][0-9]{1,3}))?"
)
SPELLING = "[se_]<family>[_<width>][_<resolution>], such as mobilenet_v2_0.50_96 or se_resnet18"
SMALLEST_WIDTH, LARGEST_WIDTH = 0.1, 4.0
SMALLEST_SIZE, LARGEST_SIZE = 16, 1024


def get_architecture(name: str) -> Architecture:
    """What a zoo name stands for, those of widths and resolutions that no paper lists included.

    Raises ArchitectureNotFound, with what is wrong about the name or which names are near.
    """
    parts = _NAME.fullmatch(name)
    if parts is None or parts["family"] not in FAMILIES:
        raise ArchitectureNotFound(name, _near(name))
    family = FAMILIES[parts["family"]]
    width, size = float(parts["width"] or 1.0), int(parts["size"] or family.image_shape[1])
    if why := _does_not_have(family, width if parts["width"] else None, size, parts["se"] is not None):
        raise ArchitectureNotFound(name, why)
    return _architecture(family, width, size, REDUCTION if parts["se"] else None)


def find_architecture(name: str) -> Architecture | None:
    try:
        return get_architecture(name)
    except ArchitectureNotFound:
        return None


def _near(name: str) -> str:
    """What is spelt nearly so: `MobileNetV2`, `mobilenet_v3`, `densenet169`."""
    excited = [f"se_{family.name}" for family in FAMILIES.values() if family.excited is not None]
    spelt = {known.replace("_", ""): known for known in [*FAMILIES, *excited]}
    asked = re.sub(r"[^a-z0-9]", "", name[:80].lower())
    longer = [known for known in spelt if asked and known.startswith(asked)]
    near = [asked] if asked in spelt else longer[:3] or get_close_matches(asked, spelt, n=2, cutoff=0.6)
    meant = f"did you mean {' or '.join(spelt[known] for known in near)}? Names" if near else "names"
    return f"{meant} are {SPELLING}"


def _does_not_have(family: Family, width: float | None, size: int, excited: bool) -> str:
    """Why the family is not there in this form; "" when it is. A `width` of None was not asked for."""
    if width is not None and not family.has_width:
        return f"{family.name} has no width multiplier"
    if width is not None and family.widths and width not in family.widths:
        return f"{family.name} has the widths {', '.join(f'{known:.2f}' for known in sorted(family.widths))}"
    if width is not None and not SMALLEST_WIDTH <= width <= LARGEST_WIDTH:
        return f"widths go from {SMALLEST_WIDTH:.2f} to {LARGEST_WIDTH:.2f}"
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        return f"resolutions go from {SMALLEST_SIZE} to {LARGEST_SIZE} pixels"
    if excited and family.excited is None:
        return f"{family.name} has squeeze-and-excitation of its own"
    return ""


def _architecture(family: Family, width: float, size: int, reduction: int | None) -> Architecture:
    figures = family.published if reduction is None else family.excited or {}
    return Architecture(
        name=_name(family, width, size, reduction),
        family=family,
        width=width,
        image_shape=(family.image_shape[0], size, size),
        reduction=reduction,
        published=figures.get((width, size)),
    )


def _name(family: Family, width: float, size: int, reduction: int | None) -> str:
    """The shortest: a width of 1 and the family's own resolution are left out."""
    parts = [family.name] if reduction is None else ["se", family.name]
    if width != 1:
        parts.append(f"{width:.2f}")
    if size != family.image_shape[1]:
        parts.append(str(size))
    return "_".join(parts)


def _rows() -> dict[str, Architecture]:
    plain = [_architecture(family, *key, None) for family in FAMILIES.values() for key in family.published]
    excited = [_architecture(family, *key, REDUCTION) for family in FAMILIES.values() for key in family.excited or {}]
    return {row.name: row for row in [*plain, *excited]}


ARCHITECTURES: Mapping[str, Architecture] = _rows()
"""Those whose figures a paper prints, by name: what `netadapt architectures` lists."""
