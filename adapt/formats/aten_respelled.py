"""Nodes that compute several things at once, as the nodes that they stand for."""

from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from typing import Any

from adapt.formats.aten import RESULT, AtenNode, Reference

_ATEN = "torch.ops.aten."


def respelled(node: AtenNode, weights: Container[str]) -> tuple[AtenNode, ...]:
    """The nodes that `node` stands for, its own value the last one's; any other node as it stands."""
    target = node.target.removeprefix(_ATEN)
    first, second = node.arguments.get("self"), node.arguments.get("other")
    of_weight = isinstance(first, Reference) and first.name in weights and isinstance(second, Reference)
    rule = _OF_WEIGHTS.get(target) if of_weight else RULES.get(target)
    return (node,) if rule is None else rule(node)


def _step(node: AtenNode, target: str, arguments: Mapping[str, Any], part: str = "") -> AtenNode:
    output = f"{node.output}_{part}" if part else node.output
    return replace(node, target=f"{_ATEN}{target}", output=output, arguments=arguments)


def _product_and_sum(node: AtenNode) -> tuple[AtenNode, ...]:
    """self + tensor1 * tensor2"""
    added, first, second = (node.arguments.get(name) for name in ("self", "tensor1", "tensor2"))
    product = _step(node, "mul.Tensor", {"self": first, "other": second}, "product")
    scaled: tuple[AtenNode, ...] = (product,)
    if node.arguments.get("value", 1) != 1:
        arguments = {"self": Reference(product.output), "other": node.arguments["value"]}
        scaled = (product, _step(node, "mul.Tensor", arguments, "scaled"))
    return (*scaled, _step(node, "add.Tensor", {"self": added, "other": Reference(scaled[-1].output)}))


def _scaled_sum(node: AtenNode) -> tuple[AtenNode, ...]:
    """self + alpha * other, and self - alpha * other"""
    factor, other = node.arguments.get("alpha", 1), node.arguments.get("other")
    if factor == 1 or not isinstance(other, Reference):
        return (node,)
    scaled = _step(node, "mul.Tensor", {"self": other, "other": factor}, "scaled")
    rest = {name: value for name, value in node.arguments.items() if name != "alpha"}
    return (scaled, replace(node, arguments={**rest, "other": Reference(scaled.output)}))


def _gated(node: AtenNode) -> tuple[AtenNode, ...]:
    """One half of the channels times the sigmoid of the other (Dauphin et al., 2017)."""
    halves = [
        _step(node, "chunk.default", {"self": node.arguments.get("self"), "chunks": 2, "dim": dim, RESULT: half}, name)
        for dim in [node.arguments.get("dim", -1)]
        for half, name in enumerate(("half", "other_half"))
    ]
    gate = _step(node, "sigmoid.default", {"self": Reference(halves[1].output)}, "gate")
    arguments = {"self": Reference(halves[0].output), "other": Reference(gate.output)}
    return (*halves, gate, _step(node, "mul.Tensor", arguments))


def _between(node: AtenNode) -> tuple[AtenNode, ...]:
    """self + weight * (end - self)"""
    start, end = node.arguments.get("self"), node.arguments.get("end")
    way = _step(node, "sub.Tensor", {"self": end, "other": start}, "way")
    part = _step(node, "mul.Tensor", {"self": Reference(way.output), "other": node.arguments.get("weight")}, "part")
    return (way, part, _step(node, "add.Tensor", {"self": start, "other": Reference(part.output)}))


def _weight_less(node: AtenNode) -> tuple[AtenNode, ...]:
    """weight - x, as weight + (-x)"""
    if node.arguments.get("alpha", 1) != 1:
        return (node,)
    turned = _step(node, "neg.default", {"self": node.arguments.get("other")}, "turned")
    arguments = {"self": Reference(turned.output), "other": node.arguments.get("self")}
    return (turned, _step(node, "add.Tensor", arguments))


def _weight_by(node: AtenNode) -> tuple[AtenNode, ...]:
    """weight / x, as (1 / x) * weight"""
    inverse = _step(node, "reciprocal.default", {"self": node.arguments.get("other")}, "inverse")
    arguments = {"self": Reference(inverse.output), "other": node.arguments.get("self")}
    return (inverse, _step(node, "mul.Tensor", arguments))


_OF_WEIGHTS = {"sub.Tensor": _weight_less, "div.Tensor": _weight_by}
"""What has no row with a weight in front."""

RULES: Mapping[str, Callable[[AtenNode], tuple[AtenNode, ...]]] = {
    "addcmul.default": _product_and_sum,
    "add.Tensor": _scaled_sum,
    "sub.Tensor": _scaled_sum,
    "glu.default": _gated,
    "lerp.Scalar": _between,
}
