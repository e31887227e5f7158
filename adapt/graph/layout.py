"""Where the channels of each value lie, and which nodes hide them. Needs no torch."""

from collections.abc import Mapping

from adapt.graph.network import Graph, Node, Shape
from adapt.graph.operators import OPERATORS
from adapt.graph.operators.layout import TO_CHANNELS_FIRST, TO_CHANNELS_LAST
from adapt.graph.operators.operator import same_shape

_LAST = "they lie on the last axis of an image, where {} does not treat them as channels"
_LAYOUT_FREE = {"linear", "layer_norm", "permute", "scale", "add", "sub", "mul", "div"}


def channel_axes(graph: Graph, shapes: Mapping[str, Shape]) -> dict[str, int]:
    """Value -> the axis of its channels: 1, or 3 where an image has been turned to [N, H, W, C]."""
    axes = {graph.input_name: 1}
    for node in graph.nodes:
        axis = axes[node.inputs[0]]
        if len(shapes[node.name]) != 4:
            axis = 1
        elif node.operator == "permute":
            axis = 3 if node.attributes["dims"] == TO_CHANNELS_LAST else 1
        elif node.operator == "linear":
            axis = 3
        elif not _keeps_layout(node):
            axis = 1
        axes[node.name] = axis
    return axes


def why_walled(node: Node, shapes: Mapping[str, Shape], axes: Mapping[str, int]) -> str | None:
    """Why the channels that reach `node` must stay, None where they can be followed through it."""
    row = OPERATORS[node.operator]
    inputs = [shapes[name] for name in node.inputs]
    if reason := row.mixes(node.attributes, inputs):
        return reason
    last = axes[node.inputs[0]] == 3 and len(inputs[0]) == 4
    if node.operator == "permute":
        turned = node.attributes["dims"] == (TO_CHANNELS_FIRST if last else TO_CHANNELS_LAST)
        return None if turned else "its axes are permuted in a way in which channels are not followed"
    if node.operator == "linear" and len(inputs[0]) == 4 and not last:
        return "a linear layer reads along the image's width, not along the channels"
    if last and not _keeps_layout(node):
        return _LAST.format(node.operator)
    return None


def _keeps_layout(node: Node) -> bool:
    row = OPERATORS[node.operator]
    return node.operator in _LAYOUT_FREE or (row.arity == 1 and row.shape is same_shape)
