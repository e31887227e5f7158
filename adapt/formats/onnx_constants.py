"""What a file says in numbers, and what of a value's shape: known without the images.

Everything is computed for two batch sizes at once, so that no symbol is needed: a number that differs is the batch
size, or depends on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from adapt.errors import NetworkRefused
from adapt.formats.onnx_nodes import OnnxNode
from adapt.formats.onnx_tensors import read_tensor
from adapt.graph.network import Shape
from adapt.graph.operators.operator import BATCH

_BATCHES = (2, 3)
_Array = NDArray[Any]
_NUMBERS: Mapping[str, tuple[type, type]] = {"value_float": (float, np.float32), "value_int": (int, np.int64)}


@dataclass(frozen=True, eq=False)
class Constant:
    """A value at both batch sizes (one array twice where the batch does not matter).

    `source` is the initialiser that it was made of, "" for none.
    """

    at: tuple[_Array, _Array]
    source: str = ""

    @property
    def fixed(self) -> bool:
        return self.at[0] is self.at[1]

    def numbers(self) -> list[Any]:
        """Flat, as Python numbers, with BATCH where one is the batch size. Raises ValueError for what mixes it."""
        first, second = (array.ravel().tolist() for array in self.at)
        return [_number(*pair) for pair in zip(first, second, strict=True)]


def _number(first: Any, second: Any) -> Any:
    if first == second:
        return first
    if (first, second) == _BATCHES:
        return BATCH
    raise ValueError("holds a number that depends on the batch size")


def constant(array: _Array, source: str = "") -> Constant:
    return Constant((array, array), source)


def shape_constant(node: OnnxNode, shape: Shape) -> Constant:
    """The result of a Shape node over a value [N, ...]."""
    start, end = node.attributes.get("start", 0), node.attributes.get("end")
    first, second = (np.array((batch, *shape[1:])[start:end], dtype=np.int64) for batch in _BATCHES)
    return Constant((first, second))


def stated_constant(node: OnnxNode) -> Constant:
    """The value of a Constant node. Raises NetworkRefused for strings and sparse tensors."""
    if len(node.attributes) == 1:
        ((name, value),) = node.attributes.items()
        if name == "value" and isinstance(value, TensorProto):
            return constant(read_tensor(value, node.where), node.outputs[0])
        kind, dtype = _NUMBERS.get(name.removesuffix("s"), (None, None))
        listed = value if isinstance(value, list) else [value]
        if all(type(number) is kind for number in listed):
            return constant(np.array(value, dtype=dtype))
    raise NetworkRefused(node.where, f"a Constant with {', '.join(node.attributes) or 'nothing'} is not read")
