"""Normalisations where an opset has no word for them."""

from dataclasses import replace

import numpy as np

from adapt.formats.onnx_lookup import Lookup
from adapt.formats.onnx_nodes import OnnxNode

Match = list[tuple[OnnxNode, OnnxNode]]
"""Nodes of those that spell an operator out, each with the one that takes its place."""


def layer_norm(root: OnnxNode, nodes: Lookup) -> Match | None:
    """(x - mean) / sqrt(mean((x - mean)^2) + eps), then scale and shift where there are any."""
    shifted = nodes.maker(root.inputs[0], "Add") if len(root.inputs) == 1 else None
    divided = nodes.only_user(root, "Div")
    if shifted is None or divided is None or divided.inputs[1] != root.outputs[0]:
        return None
    centred = nodes.maker(divided.inputs[0], "Sub")
    for variance, other in (shifted.inputs, shifted.inputs[::-1]):
        eps, averaged = nodes.number(other), nodes.maker(variance, "ReduceMean")
        if centred is not None and eps is not None and averaged is not None:
            axes = _centred_over(averaged, centred, nodes)
            return None if axes is None else _with_affine(divided, centred.inputs[0], axes, eps, nodes)
    return None


def _centred_over(averaged: OnnxNode, centred: OnnxNode, nodes: Lookup) -> int | None:
    """The one axis that both means are taken over."""
    square = nodes.maker(averaged.inputs[0], "Pow", "Mul")
    mean = nodes.maker(centred.inputs[1], "ReduceMean")
    if square is None or mean is None or mean.inputs[0] != centred.inputs[0]:
        return None
    value = centred.outputs[0]
    if square.inputs != (value, value) and (square.inputs[0] != value or nodes.number(square.inputs[1]) != 2):
        return None
    kept = all(node.attributes.get("keepdims", 1) == 1 for node in (mean, averaged))
    axes = nodes.axes(mean)
    return axes[0] if kept and axes is not None and len(axes) == 1 and axes == nodes.axes(averaged) else None


def _with_affine(divided: OnnxNode, x: str, axis: int, eps: float, nodes: Lookup) -> Match:
    last, tensors = divided, list[str]()
    for op_type in ("Mul", "Add"):
        after = nodes.only_user(last, op_type)
        stored = nodes.with_stored(after, last.outputs[0])
        if after is None or stored is None:
            break
        last, tensors = after, [*tensors, stored]
    attributes = {"axis": axis, "epsilon": eps}
    return [(last, replace(last, op_type="LayerNormalization", inputs=(x, *tensors), attributes=attributes))]


def group_norm(norm: OnnxNode, nodes: Lookup) -> Match | None:
    """Each group as one channel of an instance norm between two reshapes; then scale and shift by channel."""
    apart = nodes.maker(norm.inputs[0], "Reshape") if len(norm.inputs) == 3 else None
    together = nodes.only_user(norm, "Reshape")
    if apart is None or together is None or together.inputs[0] != norm.outputs[0]:
        return None
    sizes, ones, zeros = (nodes.array(name) for name in (apart.inputs[1], norm.inputs[1], norm.inputs[2]))
    if ones is None or zeros is None or np.any(ones != 1) or np.any(zeros != 0):
        return None
    if sizes is not None and (sizes.size != 3 or sizes.ravel()[1] != ones.size):
        return None
    scaled = nodes.only_user(together, "Mul")
    weight = nodes.with_stored(scaled, together.outputs[0])
    shifted = None if scaled is None or weight is None else nodes.only_user(scaled, "Add")
    bias = None if scaled is None else nodes.with_stored(shifted, scaled.outputs[0])
    affine = () if weight is None or bias is None else (weight, bias)
    last = shifted if affine and shifted is not None else together
    inputs = (apart.inputs[0], together.inputs[1], *affine)
    attributes = {"num_groups": int(ones.size), "epsilon": norm.attributes.get("epsilon", 1e-5)}
    return [(last, replace(last, op_type="group norm", inputs=inputs, attributes=attributes))]
