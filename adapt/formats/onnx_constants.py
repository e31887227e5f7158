"""What can be computed without the images: the small subgraphs that exporters write around a reshape.

Everything is computed for two batch sizes at once, so that no symbol is needed: a number that differs is the batch
size, or depends on it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from adapt.errors import NetworkRefused, UnsupportedOperator
from adapt.formats.onnx_nodes import OnnxNode
from adapt.formats.onnx_tensors import FLOATS, read_tensor, type_name
from adapt.graph.network import Shape
from adapt.graph.operators.operator import BATCH

_BATCHES = (2, 3)
_LARGEST = 1 << 24
_Array = NDArray[Any]
_NUMBERS: Mapping[str, tuple[type, type]] = {"value_float": (float, np.float32), "value_int": (int, np.int64)}
_DTYPES = {TensorProto.INT64: np.int64, TensorProto.INT32: np.int32, TensorProto.BOOL: np.bool_}


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


def fold(node: OnnxNode, inputs: Sequence[Constant | None]) -> Constant:
    """The result of a node whose inputs are all known.

    Raises UnsupportedOperator for what is not computed beforehand, NetworkRefused where the inputs do not fit.
    """
    if node.op_type not in _FOLDED:
        raise UnsupportedOperator(node.where, node.op_type, "its inputs are all constants")
    try:
        with np.errstate(all="ignore"):
            first = _folded(node, [None if given is None else given.at[0] for given in inputs])
            if all(given is None or given.fixed for given in inputs):
                second = first
            else:
                second = _folded(node, [None if given is None else given.at[1] for given in inputs])
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        raise NetworkRefused(node.where, f"{node.op_type} of constants: {error}") from error
    sources = [given.source for given in inputs if given is not None and given.source]
    return Constant((first, second), sources[0] if sources else "")


def _folded(node: OnnxNode, inputs: Sequence[_Array | None]) -> _Array:
    result = np.asarray(_FOLDED[node.op_type](node, *inputs))
    if result.ndim > 8:
        raise ValueError("too many dimensions")
    return result


def _small(count: int) -> None:
    if count > _LARGEST:
        raise ValueError(f"makes {count} numbers, {_LARGEST} are allowed")


def _cast(node: OnnxNode, x: _Array) -> _Array:
    to = node.attributes["to"]
    if to in FLOATS:
        return x.astype(np.float32)
    if to not in _DTYPES:
        raise ValueError(f"the type {type_name(to)} is not read")
    return x.astype(_DTYPES[to])


def _axes(node: OnnxNode, axes: _Array | None) -> tuple[int, ...] | None:
    given = node.attributes.get("axes") if axes is None else axes.ravel().tolist()
    return None if given is None else tuple(given)


def _unsqueeze(node: OnnxNode, x: _Array, axes: _Array | None = None) -> _Array:
    return np.expand_dims(x, _axes(node, axes) or ())


def _squeeze(node: OnnxNode, x: _Array, axes: _Array | None = None) -> _Array:
    return np.squeeze(x, _axes(node, axes))


def _gather(node: OnnxNode, x: _Array, indices: _Array) -> _Array:
    axis = node.attributes.get("axis", 0)
    _small(x.size // max(1, x.shape[axis]) * indices.size)
    return np.take(x, indices, axis=axis)


def _concat(node: OnnxNode, *parts: _Array) -> _Array:
    _small(sum(part.size for part in parts))
    return np.concatenate(parts, axis=node.attributes["axis"])


def _slice(
    node: OnnxNode,
    x: _Array,
    starts: _Array | None = None,
    ends: _Array | None = None,
    axes: _Array | None = None,
    steps: _Array | None = None,
) -> _Array:
    names = ("starts", "ends", "axes", "steps")
    given = {name: node.attributes.get(name) for name in names}
    given |= {n: a.ravel().tolist() for n, a in zip(names, (starts, ends, axes, steps), strict=True) if a is not None}
    begin: Any = given["starts"]
    until: Any = given["ends"]
    where = given["axes"] or range(len(begin))
    cuts = [slice(None)] * x.ndim
    for axis, start, end, step in zip(where, begin, until, given["steps"] or [1] * len(begin), strict=True):
        cuts[axis] = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
    return x[tuple(cuts)]


def _reshape(node: OnnxNode, x: _Array, sizes: _Array) -> _Array:
    wanted = sizes.ravel().tolist()
    if node.attributes.get("allowzero", 0) == 0:
        wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return x.reshape(wanted)


def _binary(function: Callable[[_Array, _Array], _Array]) -> Callable[[OnnxNode, _Array, _Array], _Array]:
    def apply(node: OnnxNode, a: _Array, b: _Array) -> _Array:
        _small(prod(np.broadcast_shapes(a.shape, b.shape)))
        return function(a, b)

    return apply


def _divide(a: _Array, b: _Array) -> _Array:
    """ONNX rounds integers towards zero."""
    if np.issubdtype(a.dtype, np.floating):
        return np.asarray(a / b)
    if not np.all(b):
        raise ValueError("divides by zero")
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)))


def _constant_of_shape(node: OnnxNode, sizes: _Array) -> _Array:
    shape = sizes.ravel().tolist()
    _small(prod(shape))
    value = node.attributes.get("value")
    filler = np.zeros(1, np.float32) if value is None else read_tensor(value, node.where)
    return np.full(shape, filler.ravel()[0], dtype=filler.dtype)


def _where(node: OnnxNode, condition: _Array, a: _Array, b: _Array) -> _Array:
    _small(prod(np.broadcast_shapes(condition.shape, a.shape, b.shape)))
    return np.where(condition, a, b)


def _reduce_product(node: OnnxNode, x: _Array, axes: _Array | None = None) -> _Array:
    return np.asarray(np.prod(x, axis=_axes(node, axes), keepdims=bool(node.attributes.get("keepdims", 1))))


_FOLDED: dict[str, Callable[..., Any]] = {
    "Identity": lambda node, x: x,
    "Cast": _cast,
    "Gather": _gather,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Concat": _concat,
    "Slice": _slice,
    "Reshape": _reshape,
    "Transpose": lambda node, x: np.ascontiguousarray(np.transpose(x, node.attributes.get("perm"))),
    "Flatten": lambda node, x: x.reshape(prod(x.shape[: node.attributes.get("axis", 1)]), -1),
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Div": _binary(_divide),
    "Equal": _binary(np.equal),
    "Where": _where,
    "Sqrt": lambda node, x: np.sqrt(x),
    "Neg": lambda node, x: -x,
    "ReduceProd": _reduce_product,
    "ConstantOfShape": _constant_of_shape,
}
