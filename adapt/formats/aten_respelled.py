"""Nodes that compute several things at once, as the nodes that they stand for."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from adapt.formats.aten import RESULT, AtenNode, Reference

_ATEN = "torch.ops.aten."


def respelled(node: AtenNode) -> tuple[AtenNode, ...]:
    """The nodes that `node` stands for, its own value the last one's; any other node as it stands."""
    rule = RULES.get(node.target.removeprefix(_ATEN))
    return (node,) if rule is None else rule(node)


def _step(node: AtenNode, target: str, arguments: Mapping[str, Any], part: str = "") -> AtenNode:
    output = f"{node.output}_{part}" if part else node.output
    return replace(node, target=f"{_ATEN}{target}", output=output, arguments=arguments)


def _product_and_sum(node: AtenNode) -> tuple[AtenNode, ...]:
    """self + tensor1 * tensor2"""
    if node.arguments.get("value", 1) != 1:
        return (node,)
    added, first, second = (node.arguments.get(name) for name in ("self", "tensor1", "tensor2"))
    product = _step(node, "mul.Tensor", {"self": first, "other": second}, "product")
    return (product, _step(node, "add.Tensor", {"self": added, "other": Reference(product.output)}))


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


RULES: Mapping[str, Callable[[AtenNode], tuple[AtenNode, ...]]] = {
    "addcmul.default": _product_and_sum,
    "add.Tensor": _scaled_sum,
    "sub.Tensor": _scaled_sum,
    "glu.default": _gated,
    "lerp.Scalar": _between,
}
