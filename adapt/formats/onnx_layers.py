"""ONNX's linear layers, normalisations and arithmetic in aten's words."""

from collections.abc import Callable
from typing import Any

import numpy as np

from adapt.formats.aten import Reference
from adapt.formats.onnx_stated import PREVIOUS, Stated, Step, Weight

ADD_BIAS = "add_bias"
"""A step that no row reads: a vector added to what a convolution or linear layer gave, which becomes its bias."""


def prelu(stated: Stated) -> list[Step]:
    slope = stated.weight("slope")
    shape = slope.array.shape
    aligned = (1,) * (len(stated.shape("X")) - len(shape)) + shape
    if slope.array.size > 1 and (len(aligned) < 2 or aligned[1] != slope.array.size):
        stated.refuse(f"with a slope of shape {list(shape)}, which is not one for each channel")
    weight = Weight(slope.array.reshape(-1), slope.source)
    return [Step(target="prelu.default", arguments={"self": stated.value("X"), "weight": weight})]


def batch_norm(stated: Stated) -> list[Step]:
    if stated.number("spatial", 1) != 1:
        stated.refuse("with spatial = 0")
    scale, shift = stated.weight("scale"), stated.weight("B")
    affine = {} if _is_stand_in(stated, scale) and _is_stand_in(stated, shift) else {"weight": scale, "bias": shift}
    arguments = {
        "input": stated.value("X"),
        **affine,
        "running_mean": stated.weight("mean"),
        "running_var": stated.weight("var"),
        "eps": stated.number("epsilon", 1e-5),
        "momentum": round(1 - stated.number("momentum", 0.9), 6),  # ONNX counts what is kept, torch what is new
    }
    return [Step(target="batch_norm.default", arguments=arguments)]


def _is_stand_in(stated: Stated, weight: Weight) -> bool:
    """Whether our own writer filled in what a batch norm without scale and shift does not have."""
    return weight.source in (f"{stated.node.name}/weight", f"{stated.node.name}/bias")


def layer_norm(stated: Stated) -> list[Step]:
    shape = stated.shape("X")
    axis = stated.number("axis", -1)
    if axis not in (-1, len(shape) - 1):
        stated.refuse(f"with axis {axis}; the last one is supported")
    arguments = {
        "input": stated.value("X"),
        "normalized_shape": [shape[-1]],
        "weight": stated.weight("Scale"),
        "eps": stated.number("epsilon", 1e-5),
    }
    if stated.has("B"):
        arguments["bias"] = stated.weight("B")
    return [Step(target="layer_norm.default", arguments=arguments)]


def response_norm(stated: Stated) -> list[Step]:
    names = {"size": ("size", None), "alpha": ("alpha", 1e-4), "beta": ("beta", 0.75), "k": ("bias", 1.0)}
    arguments = {ours: stated.number(theirs, default) for ours, (theirs, default) in names.items()}
    return [Step(target="local_response_norm", arguments={"self": stated.value("X"), **arguments})]


def gemm(stated: Stated) -> list[Step]:
    """alpha * A * B + beta * C; the factors go into the weights."""
    if stated.number("transA", 0):
        stated.refuse("with transA")
    given = stated.weight("B")
    matrix = given.array if stated.number("transB", 0) else given.array.T
    arguments: dict[str, Any] = {"input": stated.value("A"), "weight": _scaled(stated, matrix, "alpha", given.source)}
    if matrix.ndim != 2:
        stated.refuse(f"with a matrix of rank {matrix.ndim}")
    if stated.has("C"):
        bias = stated.weight("C")
        if bias.array.size not in (1, matrix.shape[0]) or bias.array.shape[-1:] not in ((), (1,), (matrix.shape[0],)):
            stated.refuse(f"with a C of shape {list(bias.array.shape)}; one number for each output is needed")
        full = np.broadcast_to(bias.array.reshape(-1), (matrix.shape[0],))
        arguments["bias"] = _scaled(stated, full, "beta", bias.source)
    return [Step(target="linear.default", arguments=arguments)]


def _scaled(stated: Stated, array: Any, factor: str, source: str) -> Weight:
    number = stated.number(factor, 1.0)
    scaled = array if number == 1 else array * np.float32(number)
    return Weight(np.ascontiguousarray(scaled, dtype=np.float32), source)


def matmul(stated: Stated) -> list[Step]:
    given = stated.weight("B")
    if given.array.ndim != 2:
        stated.refuse(f"with a matrix of rank {given.array.ndim}")
    weight = Weight(np.ascontiguousarray(given.array.T), given.source)
    return [Step(target="linear.default", arguments={"input": stated.value("A"), "weight": weight})]


def arithmetic(target: str) -> Callable[[Stated], list[Step]]:
    """Of two values, or of a value and a constant on either side."""

    def steps(stated: Stated) -> list[Step]:
        if stated.is_constant("A"):
            return _constant_first(stated, target)
        if stated.is_constant("B"):
            return [_with_constant(stated, target, stated.value("A"), "B")]
        return [Step(target=target, arguments={"self": stated.value("A"), "other": stated.value("B")})]

    return steps


def _constant_first(stated: Stated, target: str) -> list[Step]:
    if target == "div.Tensor":
        stated.refuse("of a constant by a computed value")
    if target != "sub.Tensor":
        return [_with_constant(stated, target, stated.value("B"), "A")]
    negated = Step(target="mul.Tensor", arguments={"self": stated.value("B"), "other": -1.0})
    return [negated, _with_constant(stated, "add.Tensor", PREVIOUS, "A")]


def _with_constant(stated: Stated, target: str, value: Reference, name: str) -> Step:
    constant = stated.weight(name)
    if constant.array.size == 1:
        return Step(target=target, arguments={"self": value, "other": float(constant.array.reshape(-1)[0])})
    if target in ("sub.Tensor", "div.Tensor"):
        inverse = -constant.array if target == "sub.Tensor" else 1 / constant.array
        constant = Weight(inverse.astype(np.float32), constant.source)
    if target in ("mul.Tensor", "div.Tensor"):
        return Step(target="mul.Tensor", arguments={"self": value, "other": constant})
    return Step(target=ADD_BIAS, arguments={"self": value, "bias": constant})


def n_ary_sum(stated: Stated) -> list[Step]:
    if not all(isinstance(given, Reference) for given in stated.rest):
        stated.refuse("with a constant among its inputs")
    first, *others = stated.rest
    if not others:
        return [Step(target="alias.default", arguments={"self": first})]
    sources = [first, *(PREVIOUS for _ in others[1:])]
    return [
        Step(target="add.Tensor", arguments={"self": source, "other": other})
        for source, other in zip(sources, others, strict=True)
    ]
