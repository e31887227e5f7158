"""Images that a file holds as [N, H, W, C], as Keras does: ours stay [N, C, H, W], and operators are asked along ours.

Turning the images for each convolution and back is then no operator at all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from adapt.formats.aten import Reference
from adapt.formats.onnx_constants import Constant
from adapt.formats.onnx_nodes import OnnxNode
from adapt.formats.onnx_restating import ELEMENTWISE
from adapt.graph.network import Shape
from adapt.graph.operators.layout import TO_CHANNELS_FIRST, TO_CHANNELS_LAST


@dataclass(frozen=True)
class ChannelsLast:
    """[N, H, W, C] in the file, the image [N, C, H, W] in the graph."""

    image: Reference


Value = Reference | ChannelsLast | Constant
_Inputs = list[Value | None]
_Asked = tuple[OnnxNode, list[Reference | Constant | None], bool]
"""A node and its inputs with channels first, and whether its results are still seen with channels last."""


def file_shape(value: Reference | ChannelsLast, shapes: Mapping[str, Shape]) -> Shape:
    """What the file takes the shape to be."""
    if isinstance(value, Reference):
        return shapes[value.name]
    return tuple(shapes[value.image.name][axis] for axis in TO_CHANNELS_LAST)


def are_channels_last(image: str, nodes: Sequence[OnnxNode]) -> bool:
    """Whether the network's input, perhaps shifted and scaled, is turned to [N, C, H, W] before anything else."""
    seen = {image}
    for node in nodes:
        if not seen.intersection(node.inputs):
            continue
        if node.op_type == "Transpose" and node.attributes.get("perm") == list(TO_CHANNELS_FIRST):
            return True
        if node.op_type in ELEMENTWISE:
            seen.update(node.outputs)
    return False


def turned(node: OnnxNode, value: Value | None) -> Reference | ChannelsLast | None:
    """The result of a Transpose that only changes between the two ways to see an image; None for any other."""
    perm = tuple(node.attributes.get("perm", ()))
    if isinstance(value, Reference) and perm == TO_CHANNELS_LAST:
        return ChannelsLast(value)
    return value.image if isinstance(value, ChannelsLast) and perm == TO_CHANNELS_FIRST else None


def channels_first(node: OnnxNode, inputs: _Inputs, shapes: Mapping[str, Shape]) -> _Asked | None:
    """What a node asks of images with channels last, asked of [N, C, H, W]; None where it must see them turned."""
    if any(isinstance(given, Reference) for given in inputs):
        return None
    if node.op_type in ELEMENTWISE:
        return node, [_aligned(given) if isinstance(given, Constant) else _image(given) for given in inputs], True
    ask = _ALONG_AXES.get(node.op_type)
    plain = [given if isinstance(given, Constant) else _image(given) for given in inputs]
    first = plain[0]
    return ask(node, plain, shapes[first.name]) if ask is not None and isinstance(first, Reference) else None


def _image(value: Value | None) -> Reference | None:
    return value.image if isinstance(value, ChannelsLast) else None


def _aligned(constant: Constant) -> Constant:
    """Spread over [N, H, W, C], so written for [N, C, H, W]."""

    def turn(array: Any) -> Any:
        if array.ndim == 0 or array.ndim > 4:
            return array
        return array.reshape((1,) * (4 - array.ndim) + array.shape).transpose(TO_CHANNELS_FIRST)

    first = turn(constant.at[0])
    return Constant((first, first if constant.fixed else turn(constant.at[1])), constant.source)


def _ours(axis: int) -> int:
    """Our place for an axis of [N, H, W, C]."""
    return TO_CHANNELS_LAST[axis]


def _along_axis(node: OnnxNode, inputs: list[Any], shape: Shape) -> _Asked:
    """Concatenation, splitting and softmax."""
    axis = _ours(node.attributes.get("axis", 0 if node.op_type == "Split" else -1))
    return replace(node, attributes={**node.attributes, "axis": axis}), inputs, True


def _with_axes(node: OnnxNode, inputs: list[Any], place: int) -> tuple[OnnxNode, list[Any], set[int]] | None:
    """The node with its axes, an attribute or the input at `place`, translated, and which these are in the file."""
    if len(inputs) > place and isinstance(inputs[place], Constant):
        axes = [int(axis) for axis in inputs[place].numbers()]
        translated = np.array([_ours(axis) for axis in axes], dtype=np.int64)
        given = [*inputs[:place], Constant((translated, translated)), *inputs[place + 1 :]]
    elif "axes" in node.attributes:
        axes, given = list(node.attributes["axes"]), inputs
        node = replace(node, attributes={**node.attributes, "axes": [_ours(axis) for axis in axes]})
    else:
        return None
    return node, given, {axis % 4 for axis in axes}


def _reduced(node: OnnxNode, inputs: list[Any], shape: Shape) -> _Asked | None:
    """Axes that go away must leave the others in one order in both."""
    found = _with_axes(node, inputs, 1)
    if found is None:
        return None
    node, inputs, axes = found
    if node.op_type != "Squeeze" and node.attributes.get("keepdims", 1):
        return node, inputs, True
    return (node, inputs, False) if 3 in axes or {1, 2} <= axes else None


def _sliced(node: OnnxNode, inputs: list[Any], shape: Shape) -> _Asked | None:
    found = _with_axes(node, inputs, 3)
    return None if found is None else (found[0], found[1], True)


def _padded(node: OnnxNode, inputs: list[Any], shape: Shape) -> _Asked | None:
    given = inputs[1].numbers() if len(inputs) > 1 and inputs[1] is not None else node.attributes.get("pads")
    if given is None or len(given) != 8 or len(inputs) > 3:
        return None
    pads = [given[axis + end] for end in (0, 4) for axis in TO_CHANNELS_FIRST]
    if len(inputs) == 1:
        return replace(node, attributes={**node.attributes, "pads": pads}), inputs, True
    numbers = np.array(pads, dtype=np.int64)
    return node, [inputs[0], Constant((numbers, numbers)), *inputs[2:]], True


def _spread(node: OnnxNode, inputs: list[Any], shape: Shape) -> _Asked | None:
    if any(array.size != 4 for array in inputs[1].at):
        return None
    first, second = (array.ravel()[list(TO_CHANNELS_FIRST)] for array in inputs[1].at)
    return node, [inputs[0], Constant((first, second))], True


def _seen_flat(node: OnnxNode, inputs: list[Any], shape: Shape) -> _Asked | None:
    """One pixel, or one channel, lies in memory in one order either way; a size of 0 would copy a place that moved."""
    if shape[1] != 1 and shape[2:] != (1, 1):
        return None
    if node.op_type == "Reshape" and 0 in inputs[1].at[0].ravel()[1:].tolist():
        return None
    return node, inputs, False


_ALONG_AXES: Mapping[str, Callable[[OnnxNode, list[Any], Shape], _Asked | None]] = {
    "Concat": _along_axis,
    "Split": _along_axis,
    "Softmax": _along_axis,
    "Expand": _spread,
    "ReduceMin": _reduced,
    "ReduceL2": _reduced,
    "ReduceMean": _reduced,
    "ReduceMax": _reduced,
    "ReduceSum": _reduced,
    "Squeeze": _reduced,
    "Slice": _sliced,
    "Pad": _padded,
    "Reshape": _seen_flat,
    "Flatten": _seen_flat,
}
