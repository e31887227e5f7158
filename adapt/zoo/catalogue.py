"""Every zoo name: `<family>[_<width>][_<resolution>]`, width with two decimals, resolution in pixels."""

import re
from collections.abc import Mapping

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
from adapt.zoo.architecture import Architecture, ArchitectureNotFound, Family

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

_NAME = re.compile(r"(?P<family>[a-z0-9_]+?)(?:_(?P<width>[0-4]\.[0-9]{2}))?(?:_(?P<size>[1-9][0-9]{1,3}))?")
_SMALLEST_WIDTH, _LARGEST_WIDTH = 0.1, 4.0
_SMALLEST_SIZE, _LARGEST_SIZE = 16, 1024


def get_architecture(name: str) -> Architecture:
    """What a zoo name stands for, those of widths and resolutions that no paper lists included.

    Raises ArchitectureNotFound; for a width that the family does not have too.
    """
    if (architecture := find_architecture(name)) is None:
        raise ArchitectureNotFound(name)
    return architecture


def find_architecture(name: str) -> Architecture | None:
    parts = _NAME.fullmatch(name)
    if parts is None or parts["family"] not in FAMILIES:
        return None
    family = FAMILIES[parts["family"]]
    width = float(parts["width"] or 1.0)
    size = int(parts["size"] or family.image_shape[1])
    if parts["width"] and not (family.has_width and _SMALLEST_WIDTH <= width <= _LARGEST_WIDTH):
        return None
    if family.widths and width not in family.widths:
        return None
    if not _SMALLEST_SIZE <= size <= _LARGEST_SIZE:
        return None
    return _architecture(family, width, size)


def _architecture(family: Family, width: float, size: int) -> Architecture:
    return Architecture(
        name=_name(family, width, size),
        family=family,
        width=width,
        image_shape=(family.image_shape[0], size, size),
        published=family.published.get((width, size)),
    )


def _name(family: Family, width: float, size: int) -> str:
    """The shortest: a width of 1 and the family's own resolution are left out."""
    parts = [family.name]
    if width != 1:
        parts.append(f"{width:.2f}")
    if size != family.image_shape[1]:
        parts.append(str(size))
    return "_".join(parts)


def _rows() -> dict[str, Architecture]:
    rows = [_architecture(family, *key) for family in FAMILIES.values() for key in family.published]
    return {row.name: row for row in rows}


ARCHITECTURES: Mapping[str, Architecture] = _rows()
"""Those whose figures a paper prints, by name: what `netadapt architectures` lists."""
