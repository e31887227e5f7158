"""Looks among an ONNX graph's nodes: who makes a value, who needs it, which numbers the file stores."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from numpy.typing import NDArray
from onnx import TensorProto

from adapt.formats.onnx_constants import stated_constant
from adapt.formats.onnx_nodes import OnnxNode
from adapt.formats.onnx_tensors import printable, read_tensor

Stored = Callable[[str], TensorProto | None]
"""The initialiser of a name."""

_MOST_NUMBERS = 1 << 16
_PASSING = frozenset({"Unsqueeze", "Reshape", "Identity", "Cast", "Transpose"})


_ARITIES = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Min", "MatMul", "Reshape", "Gather", "GatherND"), 2),
    **dict.fromkeys(("Erf", "Tanh", "Sqrt", "Softplus", "Relu", "Transpose"), 1),
}


def is_whole(node: OnnxNode) -> bool:
    """Whether a node has as many inputs as its operator takes: what a stranger wrote may have more or fewer."""
    return bool(node.inputs) and len(node.inputs) == _ARITIES.get(node.op_type, len(node.inputs))


class Lookup:
    """Who makes a value and who needs it."""

    def __init__(self, nodes: Sequence[OnnxNode], stored: Stored, keep: str) -> None:
        self._makers = {name: node for node in nodes for name in node.outputs if name}
        self._users: dict[str, list[OnnxNode]] = {}
        for node in nodes:
            for name in node.needs():
                self._users.setdefault(name, []).append(node)
        self._counts = Counter(name for node in nodes for name in node.needs())
        self._counts[keep] += 1
        self._stored = stored

    def maker(self, name: str, *op_types: str) -> OnnxNode | None:
        node = self._makers.get(name)
        return node if node is not None and node.op_type in op_types and is_whole(node) else None

    def users(self, node: OnnxNode) -> list[OnnxNode]:
        """The nodes that take this one's result."""
        return self._users.get(node.outputs[0], [])

    def only_user(self, node: OnnxNode, op_type: str) -> OnnxNode | None:
        """The one node that takes this one's result, if it is of this kind."""
        name = node.outputs[0]
        users = self._users.get(name, [])
        alone = self._counts[name] == len(users) == 1
        return users[0] if alone and users[0].op_type == op_type and is_whole(users[0]) else None

    def array(self, name: str, most: int = _MOST_NUMBERS) -> NDArray[Any] | None:
        """What the file stores under a name, as an initialiser or a Constant; None for large ones and others."""
        maker = self._makers.get(name)
        if maker is not None:
            return stated_constant(maker).at[0] if maker.op_type == "Constant" else None
        tensor = self._stored(name)
        if tensor is None or prod(tensor.dims) > most:
            return None
        return read_tensor(tensor, printable(name))

    def number(self, name: str) -> float | None:
        array = self.array(name, most=1)
        if array is None or array.size != 1 or array.dtype.kind != "f":
            return None
        return float(array.reshape(-1)[0])

    def with_number(self, node: OnnxNode | None, number: float) -> str | None:
        """The other input of a node that takes this number, perhaps in half precision, and one value."""
        if node is None or len(node.inputs) != 2:
            return None
        for value, other in (node.inputs, node.inputs[::-1]):
            found = self.number(other)
            if found is not None and math.isclose(found, number, rel_tol=1e-3):
                return value
        return None

    def is_stored(self, name: str) -> bool:
        """Whether a value is made of what the file stores alone, in a few steps."""
        maker = self._makers.get(name)
        if maker is None:
            return self._stored(name) is not None
        if maker.op_type == "Constant":
            return True
        return maker.op_type in _PASSING and all(self._stored(given) is not None for given in maker.inputs if given)

    def with_stored(self, node: OnnxNode | None, value: str) -> str | None:
        """The other input of a node that takes `value` and something that the file stores."""
        if node is None or len(node.inputs) != 2 or value not in node.inputs:
            return None
        other = node.inputs[0] if node.inputs[1] == value else node.inputs[1]
        return other if self.is_stored(other) else None

    def axes(self, node: OnnxNode) -> list[int] | None:
        """The axes that a reduction states, in an attribute or an input."""
        array = self.array(node.inputs[1]) if len(node.inputs) > 1 else None
        given = node.attributes.get("axes") if array is None else array.ravel().tolist()
        return given if isinstance(given, list) else None
