"""Operators that exporters spell out, found among the nodes: activations here, normalisations beside."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from adapt.formats.onnx_adaptive import adaptive_average, gathered_average
from adapt.formats.onnx_lookup import Lookup, Stored, is_whole
from adapt.formats.onnx_nodes import OnnxNode
from adapt.formats.onnx_spelled_norms import Match, group_norm, layer_norm


def written_out(nodes: list[OnnxNode], stored: Stored, *, keep: str) -> list[OnnxNode]:
    """The nodes with each spelled-out operator as one node; its parts go, but for those that are needed elsewhere.

    `stored` finds an initialiser, `keep` names the output of the network.
    """
    known = Lookup(nodes, stored, keep)
    found: dict[str, OnnxNode] = {}
    for node in nodes:
        for matcher in _MATCHERS.get(node.op_type, ()) if is_whole(node) else ():
            found |= {old.outputs[0]: new for old, new in matcher(node, known) or ()}
    if not found:
        return nodes
    replaced = [found.get(node.outputs[0], node) for node in nodes]
    return _without_unused(replaced, keep)


def _gelu(erf: OnnxNode, nodes: Lookup) -> Match | None:
    """x * (1 + erf(x / sqrt(2))) / 2"""
    if len(erf.inputs) != 1:
        return None
    scaled = nodes.maker(erf.inputs[0], "Div", "Mul")
    root = math.sqrt(2) if scaled is not None and scaled.op_type == "Div" else 1 / math.sqrt(2)
    x = nodes.with_number(scaled, root)
    shifted = nodes.only_user(erf, "Add")
    if x is None or shifted is None or nodes.with_number(shifted, 1.0) != erf.outputs[0]:
        return None
    return _halved(shifted, x, {}, nodes)


def _mish(softplus: OnnxNode, nodes: Lookup) -> Match | None:
    """x * tanh(softplus(x))"""
    bent = nodes.only_user(softplus, "Tanh")
    product = None if bent is None else nodes.only_user(bent, "Mul")
    if bent is None or product is None or sorted(product.inputs) != sorted((*softplus.inputs, *bent.outputs)):
        return None
    return [(product, replace(product, op_type="Mish", inputs=softplus.inputs, attributes={}))]


def _relu6(smaller: OnnxNode, nodes: Lookup) -> Match | None:
    """min(relu(x), 6)"""
    bent = nodes.with_number(smaller, 6.0)
    relu = None if bent is None else nodes.maker(bent, "Relu")
    if relu is None or len(relu.inputs) != 1:
        return None
    return [(smaller, replace(smaller, op_type="Clip", inputs=relu.inputs, attributes={"min": 0.0, "max": 6.0}))]


def _tanh_gelu(tanh: OnnxNode, nodes: Lookup) -> Match | None:
    """x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2, the half before or behind the product."""
    total = nodes.maker(nodes.with_number(nodes.maker(tanh.inputs[0], "Mul"), math.sqrt(2 / math.pi)) or "", "Add")
    shifted = nodes.only_user(tanh, "Add")
    if total is None or shifted is None or nodes.with_number(shifted, 1.0) != tanh.outputs[0]:
        return None
    for x, term in (total.inputs, total.inputs[::-1]):
        cube = nodes.with_number(nodes.maker(term, "Mul"), 0.044715)
        if cube is not None and _is_cube(cube, x, nodes):
            return _halved(shifted, x, {"approximate": "tanh"}, nodes)
    return None


def _is_cube(value: str, x: str, nodes: Lookup) -> bool:
    power = nodes.maker(value, "Pow")
    if power is not None:
        return power.inputs[0] == x and nodes.number(power.inputs[1]) == 3
    product = nodes.maker(value, "Mul")
    if product is None or x not in product.inputs:
        return False
    square = nodes.maker(next((given for given in product.inputs if given != x), ""), "Mul", "Pow")
    if square is None:
        return False
    return square.inputs == (x, x) or (square.inputs[0] == x and nodes.number(square.inputs[1]) == 2)


def _halved(shifted: OnnxNode, x: str, attributes: Mapping[str, Any], nodes: Lookup) -> Match | None:
    """x * (1 + ...) / 2, or (x / 2) * (1 + ...), as a Gelu."""
    product = nodes.only_user(shifted, "Mul")
    if product is None or len(product.inputs) != 2:
        return None
    other = product.inputs[0] if product.inputs[1] == shifted.outputs[0] else product.inputs[1]
    single = replace(product, op_type="Gelu", inputs=(x,), attributes=attributes)
    if nodes.with_number(nodes.maker(other, "Mul"), 0.5) == x:
        return [(product, single)]
    last = nodes.only_user(product, "Mul")
    if other == x and last is not None and nodes.with_number(last, 0.5) == product.outputs[0]:
        return [(last, replace(single, name=last.name, where=last.where, outputs=last.outputs))]
    return None


def _as_strided(row: OnnxNode, nodes: Lookup) -> Match | None:
    """All values in a row, and taken out of there by their places."""
    sizes = nodes.array(row.inputs[1]) if len(row.inputs) == 2 else None
    taken = nodes.only_user(row, "Gather")
    if sizes is None or sizes.ravel().tolist() != [-1] or taken is None or taken.attributes.get("axis", 0) != 0:
        return None
    if taken.inputs[0] != row.outputs[0] or len(taken.inputs) != 2:
        return None
    return [(taken, replace(taken, op_type="as strided", inputs=(row.inputs[0], taken.inputs[1]), attributes={}))]


def _row_product(product: OnnxNode, nodes: Lookup) -> Match | None:
    """All positions of all images as rows of one matrix, and back: how optimisers write MatMul and Add."""
    rows, back = nodes.maker(product.inputs[0], "Reshape"), nodes.only_user(product, "Reshape")
    sizes = nodes.array(rows.inputs[1]) if rows is not None and len(rows.inputs) == 2 else None
    if rows is None or back is None or sizes is None or sizes.size != 2 or sizes.ravel()[0] != -1:
        return None
    if back.inputs[0] != product.outputs[0] or not all(map(nodes.is_stored, product.inputs[1:])):
        return None
    inputs = (rows.inputs[0], back.inputs[1], *product.inputs[1:])
    return [(back, replace(back, op_type="row product", inputs=inputs, attributes=product.attributes))]


_MATCHERS: Mapping[str, tuple[Callable[[OnnxNode, Lookup], Match | None], ...]] = {
    "Erf": (_gelu,),
    "Tanh": (_tanh_gelu,),
    "Softplus": (_mish,),
    "Min": (_relu6,),
    "Reshape": (_as_strided,),
    "Gemm": (_row_product,),
    "Sqrt": (layer_norm,),
    "InstanceNormalization": (group_norm,),
    "GatherND": (gathered_average,),
    "MatMul": (adaptive_average, _row_product),
}


def _without_unused(nodes: list[OnnxNode], keep: str) -> list[OnnxNode]:
    """Without what only the replaced nodes needed."""
    needed = {keep}
    kept: list[OnnxNode] = []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            needed.update(node.needs())
            kept.append(node)
    kept.reverse()
    return kept
