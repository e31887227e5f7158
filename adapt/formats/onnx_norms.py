"""ONNX's normalisations in aten's words."""

import numpy as np

from adapt.formats.onnx_layout import reshape
from adapt.formats.onnx_stated import PREVIOUS, Stated, Step, Weight
from adapt.graph.operators.layout import TO_CHANNELS_FIRST, TO_CHANNELS_LAST


def batch_norm(stated: Stated) -> list[Step]:
    if stated.number("spatial", 1) != 1:
        stated.refuse("with spatial = 0")
    scale, shift = stated.weight("scale"), stated.weight("B")
    affine = (
        {}
        if _is_stand_in(stated, scale, 1.0) and _is_stand_in(stated, shift, 0.0)
        else {"weight": scale, "bias": shift}
    )
    arguments = {
        "input": stated.value("X"),
        **affine,
        "running_mean": stated.weight("mean"),
        "running_var": stated.weight("var"),
        "eps": stated.number("epsilon", 1e-5),
        "momentum": round(1 - stated.number("momentum", 0.9), 6),  # ONNX counts what is kept, torch what is new
    }
    return [Step(target="batch_norm.default", arguments=arguments)]


def _is_stand_in(stated: Stated, weight: Weight, neutral: float) -> bool:
    """Whether our own writer filled in what a norm without scale and shift does not have."""
    ours = weight.source in (f"{stated.node.name}/weight", f"{stated.node.name}/bias")
    return ours and bool(np.all(weight.array == neutral))


def layer_norm(stated: Stated) -> list[Step]:
    """Over the last axis, or over the channels of an image, which are turned to be the last for it."""
    shape = stated.shape("X")
    axis = stated.number("axis", -1) % len(shape)
    if axis not in (1, len(shape) - 1) or (axis == 1 and len(shape) != 4 and axis != len(shape) - 1):
        stated.refuse(f"with axis {stated.number('axis', -1)} on {list(shape)}; the last one is supported")
    last = axis == len(shape) - 1
    arguments = {
        "input": stated.value("X") if last else PREVIOUS,
        "normalized_shape": [shape[axis]],
        "weight": _vector(stated, "Scale", shape[axis], 1.0),
        "eps": stated.number("epsilon", 1e-5),
    }
    if stated.has("B"):
        arguments["bias"] = _vector(stated, "B", shape[axis], 0.0)
    norm = Step(target="layer_norm.default", arguments=arguments)
    if last:
        return [norm]
    turn = Step(target="permute.default", arguments={"self": stated.value("X"), "dims": list(TO_CHANNELS_LAST)})
    return [turn, norm, Step(target="permute.default", arguments={"self": PREVIOUS, "dims": list(TO_CHANNELS_FIRST)})]


def _vector(stated: Stated, name: str, size: int, default: float, repeats: int = 1) -> Weight:
    """One number for each channel, each `repeats` times, `default` where the file leaves it out."""
    if not stated.has(name):
        return Weight(np.full(size, default, np.float32), "")
    weight = stated.weight(name)
    if weight.array.size * repeats != size or max(weight.array.shape, default=1) != weight.array.size:
        stated.refuse(f"with a {name} of shape {list(weight.array.shape)}; {size // repeats} numbers are expected")
    return Weight(np.repeat(weight.array.reshape(-1), repeats), weight.source)


def instance_norm(stated: Stated) -> list[Step]:
    scale, shift = stated.weight("scale"), stated.weight("B")
    affine = (
        {}
        if _is_stand_in(stated, scale, 1.0) and _is_stand_in(stated, shift, 0.0)
        else {"weight": scale, "bias": shift}
    )
    arguments = {"input": stated.value("X"), **affine, "eps": stated.number("epsilon", 1e-5), "use_input_stats": True}
    return [Step(target="instance_norm.default", arguments=arguments)]


def group_norm(stated: Stated) -> list[Step]:
    """Scale and shift by group up to opset 20, by channel since."""
    groups, channels = stated.number("num_groups", None), stated.shape("X")[1]
    by_group = stated.has("scale") and stated.weight("scale").array.size == groups
    return _grouped(stated, groups, channels // groups if by_group else 1)


def spelled_group_norm(stated: Stated) -> list[Step]:
    """One that was written between two reshapes, of which the second leads to the shape before the first."""
    return [*_grouped(stated, stated.number("num_groups", None)), *reshape(stated, PREVIOUS)]


def _grouped(stated: Stated, groups: int, repeats: int = 1) -> list[Step]:
    channels = stated.shape("X")[1]
    arguments = {"input": stated.value("X"), "num_groups": groups, "eps": stated.number("epsilon", 1e-5)}
    if stated.has("scale") or stated.has("B"):
        arguments["weight"] = _vector(stated, "scale", channels, 1.0, repeats)
        arguments["bias"] = _vector(stated, "B", channels, 0.0, repeats)
    return [Step(target="group_norm.default", arguments=arguments)]


def response_norm(stated: Stated) -> list[Step]:
    names = {"size": ("size", None), "alpha": ("alpha", 1e-4), "beta": ("beta", 0.75), "k": ("bias", 1.0)}
    arguments = {ours: stated.number(theirs, default) for ours, (theirs, default) in names.items()}
    return [Step(target="local_response_norm", arguments={"self": stated.value("X"), **arguments})]
