"""What can be computed without the images: the small subgraphs that exporters write around a reshape or a weight."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from adapt.errors import NetworkRefused, UnsupportedOperator
from adapt.formats.onnx_constants import Constant
from adapt.formats.onnx_nodes import OnnxNode
from adapt.formats.onnx_tensors import FLOATS, read_tensor, type_name

_LARGEST = 1 << 24
_Array = NDArray[Any]
_DTYPES = {TensorProto.INT64: np.int64, TensorProto.INT32: np.int32, TensorProto.BOOL: np.bool_}


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
    except MemoryError as error:
        raise NetworkRefused(node.where, f"{node.op_type} of constants takes more memory than there is") from error
    if first.shape == second.shape and np.array_equal(first, second):  # of shapes, but not of the batch
        second = first
    named = [given for given in inputs if given is not None and given.source]
    largest = max(named, key=lambda given: given.at[0].size, default=None)
    return Constant((first, second), "" if largest is None else largest.source)


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


def _batch_norm(node: OnnxNode, x: _Array, scale: _Array, shift: _Array, mean: _Array, variance: _Array) -> _Array:
    """Of a weight, whose filters are standardised so: by their own mean and variance in training mode."""
    others = tuple(axis for axis in range(x.ndim) if axis != 1)
    if node.attributes.get("training_mode", 0):
        mean, variance = x.mean(others), x.var(others)
    shape = [-1 if axis == 1 else 1 for axis in range(x.ndim)]
    factor = scale / np.sqrt(variance + np.float32(node.attributes.get("epsilon", 1e-5)))
    return np.asarray((x - mean.reshape(shape)) * factor.reshape(shape) + shift.reshape(shape), dtype=np.float32)


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


def _several(function: Callable[[_Array, _Array], _Array]) -> Callable[..., _Array]:
    def apply(node: OnnxNode, first: _Array, *others: _Array) -> _Array:
        for other in others:
            _small(prod(np.broadcast_shapes(first.shape, other.shape)))
            first = function(first, other)
        return first

    return apply


def _reduced(function: Callable[..., Any]) -> Callable[..., _Array]:
    def apply(node: OnnxNode, x: _Array, axes: _Array | None = None) -> _Array:
        over = _axes(node, axes) or None
        if over is None and node.attributes.get("noop_with_empty_axes", 0):
            return x
        return np.asarray(function(x, axis=over, keepdims=bool(node.attributes.get("keepdims", 1))))

    return apply


def _clip(node: OnnxNode, x: _Array, low: _Array | None = None, high: _Array | None = None) -> _Array:
    given = {"min": low, "max": high}
    limits = {name: node.attributes.get(name) if array is None else array for name, array in given.items()}
    return np.asarray(np.clip(x, limits["min"], limits["max"]), dtype=x.dtype)


def _range(node: OnnxNode, start: _Array, limit: _Array, step: _Array) -> _Array:
    first, end, by = start.item(), limit.item(), step.item()
    _small(int((end - first) / by))
    return np.arange(first, end, by, dtype=start.dtype)


def _expand(node: OnnxNode, x: _Array, sizes: _Array) -> _Array:
    shape = np.broadcast_shapes(x.shape, tuple(sizes.ravel().tolist()))
    _small(prod(shape))
    return np.broadcast_to(x, shape)


def _tile(node: OnnxNode, x: _Array, repeats: _Array) -> _Array:
    _small(x.size * prod(max(1, times) for times in repeats.ravel().tolist()))
    return np.tile(x, repeats.ravel().tolist())


def _mod(node: OnnxNode, a: _Array, b: _Array) -> _Array:
    if not np.all(b):
        raise ValueError("divides by zero")
    return np.asarray((np.fmod if node.attributes.get("fmod", 0) else np.mod)(a, b))


def _matrix_product(node: OnnxNode, a: _Array, b: _Array) -> _Array:
    _small(a.size * (b.shape[-1] if b.ndim > 1 else 1))
    return np.asarray(a @ b)


def _shape(node: OnnxNode, x: _Array) -> _Array:
    return np.array(x.shape[node.attributes.get("start", 0) : node.attributes.get("end")], dtype=np.int64)


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
    "Expand": _expand,
    "Tile": _tile,
    "Shape": _shape,
    "Size": lambda node, x: np.asarray(x.size, dtype=np.int64),
    "Range": _range,
    "ConstantOfShape": _constant_of_shape,
    "Where": _where,
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Div": _binary(_divide),
    "Pow": _binary(lambda a, b: np.asarray(np.power(a, b), dtype=a.dtype)),
    "Mod": _mod,
    "MatMul": _matrix_product,
    "BatchNormalization": _batch_norm,
    "Max": _several(np.maximum),
    "Min": _several(np.minimum),
    "Sum": _several(np.add),
    "Clip": _clip,
    "Equal": _binary(np.equal),
    "Less": _binary(np.less),
    "LessOrEqual": _binary(np.less_equal),
    "Greater": _binary(np.greater),
    "GreaterOrEqual": _binary(np.greater_equal),
    "And": _binary(np.logical_and),
    "Or": _binary(np.logical_or),
    "Not": lambda node, x: np.logical_not(x),
    "Sqrt": lambda node, x: np.sqrt(x),
    "Exp": lambda node, x: np.exp(x),
    "Log": lambda node, x: np.log(x),
    "Reciprocal": lambda node, x: 1 / x,
    "Neg": lambda node, x: -x,
    "Abs": lambda node, x: np.abs(x),
    "Ceil": lambda node, x: np.ceil(x),
    "Floor": lambda node, x: np.floor(x),
    "ReduceProd": _reduced(np.prod),
    "ReduceSum": _reduced(np.sum),
    "ReduceMean": _reduced(np.mean),
    "ReduceMax": _reduced(np.max),
    "ReduceMin": _reduced(np.min),
    "ReduceL1": _reduced(lambda x, axis, keepdims: np.sum(np.abs(x), axis=axis, keepdims=keepdims)),
    "ReduceL2": _reduced(lambda x, axis, keepdims: np.sqrt(np.sum(np.square(x), axis=axis, keepdims=keepdims))),
    "Relu": lambda node, x: np.maximum(x, 0),
    "Tanh": lambda node, x: np.tanh(x),
    "Sigmoid": lambda node, x: 1 / (1 + np.exp(-x)),
}
