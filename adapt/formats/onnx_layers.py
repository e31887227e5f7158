"""ONNX's linear layers and arithmetic in aten's words."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from adapt.formats.aten import Reference
from adapt.formats.onnx_layout import reshape
from adapt.formats.onnx_stated import PREVIOUS, Stated, Step, Weight
from adapt.graph.operators.operator import BATCH


def prelu(stated: Stated) -> list[Step]:
    slope = stated.weight("slope")
    shape = slope.array.shape
    aligned = (1,) * (len(stated.shape("X")) - len(shape)) + shape
    if slope.array.size > 1 and (len(aligned) < 2 or aligned[1] != slope.array.size):
        stated.refuse(f"with a slope of shape {list(shape)}, which is not one for each channel")
    weight = Weight(slope.array.reshape(-1), slope.source)
    return [Step(target="prelu.default", arguments={"self": stated.value("X"), "weight": weight})]


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


def row_product(stated: Stated) -> list[Step]:
    """Over the last axis, or over all that a first reshape made one; then the reshape behind."""
    (product,) = gemm(stated)
    shape, features = stated.shape("A"), product.arguments["weight"].array.shape[1]
    if 0 in (stated.numbers("shape") or [])[1:]:
        stated.refuse(f"before a reshape to {stated.numbers('shape')}")
    back = reshape(stated, PREVIOUS)
    if shape[-1] == features:
        return [product, *back]
    row = Step(target="reshape.default", arguments={"self": stated.value("A"), "shape": [BATCH, features]})
    return [row, replace(product, arguments={**product.arguments, "input": PREVIOUS}), *back]


def _scaled(stated: Stated, array: Any, factor: str, source: str) -> Weight:
    number = stated.number(factor, 1.0)
    scaled = array if number == 1 else array * np.float32(number)
    return Weight(np.ascontiguousarray(scaled, dtype=np.float32), source)


def matmul(stated: Stated) -> list[Step]:
    """By a matrix that the file stores, or of two values."""
    if not stated.is_constant("B") and not stated.is_constant("A"):
        return [Step(target="matmul.default", arguments={"self": stated.value("A"), "other": stated.value("B")})]
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
        inverse = Step(target="reciprocal.default", arguments={"self": stated.value("B")})
        return [inverse, _with_constant(stated, "mul.Tensor", PREVIOUS, "A")]
    if target != "sub.Tensor":
        return [_with_constant(stated, target, stated.value("B"), "A")]
    negated = Step(target="mul.Tensor", arguments={"self": stated.value("B"), "other": -1.0})
    return [negated, _with_constant(stated, "add.Tensor", PREVIOUS, "A")]


def _with_constant(stated: Stated, target: str, value: Reference, name: str) -> Step:
    """With one number, or with one for each channel."""
    constant, shape = stated.weight(name), stated.shape("B" if name == "A" else "A")
    if constant.array.ndim > len(shape):
        stated.refuse(f"of a constant of shape {list(constant.array.shape)} and {list(shape)}")
    if constant.array.size == 1:
        return Step(target=target, arguments={"self": value, "other": float(constant.array.reshape(-1)[0])})
    return Step(target=target, arguments={"self": value, "other": constant})


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
