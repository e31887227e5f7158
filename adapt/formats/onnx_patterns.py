"""Activations that exporters spell out, found among the nodes: GELU, Mish and ReLU6."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from adapt.formats.onnx_constants import stated_constant
from adapt.formats.onnx_nodes import OnnxNode

Scalar = Callable[[str], float | None]
_Match = tuple[OnnxNode, OnnxNode]
"""The last node of those that spell an activation out, and the one that says it."""


class _Nodes:
    """Who makes a value and who needs it."""

    def __init__(self, nodes: Sequence[OnnxNode], scalar: Scalar, keep: str) -> None:
        self._makers = {name: node for node in nodes for name in node.outputs if name}
        self._users: dict[str, list[OnnxNode]] = {}
        for node in nodes:
            for name in node.inputs:
                self._users.setdefault(name, []).append(node)
        self._counts = Counter(name for node in nodes for name in node.inputs)
        self._counts[keep] += 1
        self._initializer = scalar

    def maker(self, name: str, *op_types: str) -> OnnxNode | None:
        node = self._makers.get(name)
        return node if node is not None and node.op_type in op_types else None

    def only_user(self, node: OnnxNode, op_type: str) -> OnnxNode | None:
        """The one node that takes this one's result, if it is of this kind."""
        name = node.outputs[0]
        users = self._users.get(name, [])
        return users[0] if self._counts[name] == 1 and users[0].op_type == op_type else None

    def number(self, name: str) -> float | None:
        maker = self._makers.get(name)
        if maker is None:
            return self._initializer(name)
        if maker.op_type != "Constant":
            return None
        array = stated_constant(maker).at[0]
        return float(array.reshape(-1)[0]) if array.size == 1 and array.dtype.kind == "f" else None

    def with_number(self, node: OnnxNode | None, number: float) -> str | None:
        """The other input of a node that takes this number and one value."""
        if node is None or len(node.inputs) != 2:
            return None
        for value, other in (node.inputs, node.inputs[::-1]):
            found = self.number(other)
            if found is not None and math.isclose(found, number, rel_tol=1e-4):
                return value
        return None


def written_out(nodes: list[OnnxNode], scalar: Scalar, *, keep: str) -> list[OnnxNode]:
    """The nodes with each spelled-out activation as one node; its parts go, but for those that are needed elsewhere.

    `scalar` tells the number that an initialiser holds, `keep` names the output of the network.
    """
    known = _Nodes(nodes, scalar, keep)
    found: dict[str, OnnxNode] = {}
    for node in nodes:
        matcher = _MATCHERS.get(node.op_type)
        if matcher is not None and (match := matcher(node, known)):
            last, single = match
            found[last.outputs[0]] = single
    if not found:
        return nodes
    replaced = [found.get(node.outputs[0], node) for node in nodes]
    return _without_unused(replaced, keep)


def _gelu(erf: OnnxNode, nodes: _Nodes) -> _Match | None:
    """x * (1 + erf(x / sqrt(2))) / 2, the half before or behind the product."""
    if len(erf.inputs) != 1:
        return None
    scaled = nodes.maker(erf.inputs[0], "Div", "Mul")
    root = math.sqrt(2) if scaled is not None and scaled.op_type == "Div" else 1 / math.sqrt(2)
    x = nodes.with_number(scaled, root)
    shifted = nodes.only_user(erf, "Add")
    if x is None or shifted is None or nodes.with_number(shifted, 1.0) != erf.outputs[0]:
        return None
    product = nodes.only_user(shifted, "Mul")
    if product is None or len(product.inputs) != 2:
        return None
    other = product.inputs[0] if product.inputs[1] == shifted.outputs[0] else product.inputs[1]
    single = replace(product, op_type="Gelu", inputs=(x,), attributes={})
    if nodes.with_number(nodes.maker(other, "Mul"), 0.5) == x:
        return product, single
    last = nodes.only_user(product, "Mul")
    if other == x and last is not None and nodes.with_number(last, 0.5) == product.outputs[0]:
        return last, replace(single, name=last.name, where=last.where, outputs=last.outputs)
    return None


def _mish(softplus: OnnxNode, nodes: _Nodes) -> _Match | None:
    """x * tanh(softplus(x))"""
    bent = nodes.only_user(softplus, "Tanh")
    product = None if bent is None else nodes.only_user(bent, "Mul")
    if bent is None or product is None or sorted(product.inputs) != sorted((*softplus.inputs, *bent.outputs)):
        return None
    return product, replace(product, op_type="Mish", inputs=softplus.inputs, attributes={})


def _relu6(smaller: OnnxNode, nodes: _Nodes) -> _Match | None:
    """min(relu(x), 6)"""
    bent = nodes.with_number(smaller, 6.0)
    relu = None if bent is None else nodes.maker(bent, "Relu")
    if relu is None or len(relu.inputs) != 1:
        return None
    return smaller, replace(smaller, op_type="Clip", inputs=relu.inputs, attributes={"min": 0.0, "max": 6.0})


_MATCHERS: Mapping[str, Callable[[OnnxNode, _Nodes], _Match | None]] = {"Erf": _gelu, "Softplus": _mish, "Min": _relu6}


def _without_unused(nodes: list[OnnxNode], keep: str) -> list[OnnxNode]:
    """Without what only the replaced nodes needed."""
    needed = {keep}
    kept: list[OnnxNode] = []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    kept.reverse()
    return kept
