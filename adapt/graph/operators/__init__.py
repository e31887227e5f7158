"""The one table of operators: how each is read, its shape, its cost, how torch computes it, how ONNX spells it."""

from collections.abc import Mapping

from adapt.graph.operators import (
    activation,
    arithmetic,
    averaging,
    channelwise,
    convolution,
    layout,
    normalization,
    pooling,
    reducing,
    reshaping,
    resizing,
    slicing,
)
from adapt.graph.operators.operator import Aten, Operator

_SUBJECTS = (
    convolution,
    normalization,
    activation,
    channelwise,
    pooling,
    averaging,
    reducing,  # after averaging: means over the whole image have rows of their own
    resizing,
    arithmetic,
    reshaping,  # before slicing and layout: a view that changes nothing is none
    slicing,
    layout,
)

OPERATORS: Mapping[str, Operator] = {row.name: row for subject in _SUBJECTS for row in subject.OPERATORS}


def _by_target() -> dict[str, tuple[tuple[Operator, Aten], ...]]:
    readings: dict[str, list[tuple[Operator, Aten]]] = {}
    for row in OPERATORS.values():
        for reading in row.aten:
            readings.setdefault(f"torch.ops.aten.{reading.target}", []).append((row, reading))
    return {target: tuple(found) for target, found in readings.items()}


READINGS: Mapping[str, tuple[tuple[Operator, Aten], ...]] = _by_target()
"""Full aten target -> its readings; the first whose `when` holds is taken."""
