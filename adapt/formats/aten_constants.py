"""What a network computes from its weights and from plain numbers alone, in numpy, by aten's names and arguments.

A scale that is reshaped to be broadcast, a standardised or normalised kernel, mean and deviation written as numbers in
forward(): each is a tensor like those in the file, and is computed once, when the network is read.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_WITHOUT_EFFECT = frozenset(
    {"memory_format", "dtype", "layout", "device", "pin_memory", "non_blocking", "copy", "cudnn_enabled", "momentum"}
)
"""Arguments that change where or how numbers lie, not which they are: all of ours are float32."""


def is_foldable(target: str) -> bool:
    return target in _FOLDED


def fold(target: str, arguments: Mapping[str, Any], largest: int) -> Array:
    """The result of a foldable node in float32, of at most `largest` elements; of several results the first.

    Raises TypeError, ValueError, ArithmeticError or LookupError for arguments that do not fit.
    """
    given = {name: value for name, value in arguments.items() if name not in _WITHOUT_EFFECT}
    arrays = [value for value in given.values() if isinstance(value, np.ndarray)]
    if target in _BROADCASTING and prod(np.broadcast_shapes(*(array.shape for array in arrays))) > largest:
        raise ValueError(f"spreads the network's weights over more than the {largest} numbers that are allowed")
    with np.errstate(all="ignore"):
        result = np.asarray(_FOLDED[target](**given))
    if result.size > largest:
        raise ValueError(f"makes {result.size} numbers of the network's weights, {largest} are allowed")
    return np.ascontiguousarray(result, dtype=np.float32).reshape(result.shape)


def _numbers(given: Any) -> tuple[int, ...]:
    numbers = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    if not all(type(number) is int for number in numbers):
        raise ValueError(f"{str(given)[:80]} are no fixed numbers")
    return numbers


def _expand(self: Array, size: Sequence[int], implicit: bool = False) -> Array:
    wanted, missing = _numbers(size), len(size) - self.ndim
    sizes = [self.shape[axis - missing] if n == -1 else n for axis, n in enumerate(wanted)]
    return np.broadcast_to(self, sizes)


def _flatten(self: Array, start_dim: int = 0, end_dim: int = -1) -> Array:
    start, end = start_dim % self.ndim, end_dim % self.ndim
    return self.reshape(*self.shape[:start], -1, *self.shape[end + 1 :])


def _squeeze(self: Array, dim: Any = None) -> Array:
    axes = range(self.ndim) if dim is None else [axis % self.ndim for axis in _numbers(dim)]
    return np.squeeze(self, tuple(axis for axis in axes if self.shape[axis] == 1))


def _slice(self: Array, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Array:
    cuts = [slice(None)] * self.ndim
    cuts[dim] = slice(start, end, step)
    return self[tuple(cuts)]


def _plus(sign: int) -> Callable[..., Array]:
    return lambda self, other, alpha=1: np.add(self, sign * alpha * np.asarray(other))


def _subtracted(self: Array, other: float, alpha: float = 1) -> Array:
    return np.asarray(other - alpha * self)


def _clamp(self: Array, min: float | None = None, max: float | None = None) -> Array:  # noqa: A002  # aten's names
    return np.clip(self, min, max) if (min, max) != (None, None) else self


def _over(function: Callable[..., Any]) -> Callable[..., Array]:
    def reduced(self: Array, dim: Any = None, keepdim: bool = False) -> Array:
        return np.asarray(function(self, axis=_numbers(dim) if dim else None, keepdims=keepdim))

    return reduced


def _variance(self: Array, dim: Any = None, correction: float = 1, keepdim: bool = False) -> Array:
    return np.asarray(np.var(self, axis=_numbers(dim) if dim else None, ddof=correction, keepdims=keepdim))


def _softmax(self: Array, dim: int, half_to_float: bool = False) -> Array:
    raised = np.exp(self - np.max(self, axis=dim, keepdims=True))
    return np.asarray(raised / np.sum(raised, axis=dim, keepdims=True))


def _padded(self: Array, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Array:
    """A smaller kernel in the middle of a larger one, as networks with several branches add them up."""
    sides = _numbers(pad)
    if mode != "constant" or min(sides, default=0) < 0 or max(sides, default=0) > 1024:
        raise ValueError(f"weights padded by {list(sides)} in mode {mode}")
    widths = [(sides[2 * axis], sides[2 * axis + 1]) for axis in range(len(sides) // 2)][::-1]
    return np.pad(self, [(0, 0)] * (self.ndim - len(widths)) + widths, constant_values=value or 0)


def _unbiased(function: Callable[..., Any]) -> Callable[..., Array]:
    def reduced(self: Array, dim: Any = None, unbiased: bool = True, keepdim: bool = False) -> Array:
        return np.asarray(function(self, axis=_numbers(dim) if dim else None, ddof=int(unbiased), keepdims=keepdim))

    return reduced


def _vector_norm(self: Array, ord: float = 2, dim: Any = None, keepdim: bool = False) -> Array:  # noqa: A002
    if ord != 2:
        raise ValueError(f"a norm of order {ord}")
    return np.asarray(np.sqrt(np.sum(np.square(self), axis=_numbers(dim) if dim else None, keepdims=keepdim)))


def _standardised(
    input: Array,  # noqa: A002
    weight: Array | None = None,
    bias: Array | None = None,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    training: bool = True,
    eps: float = 1e-5,
) -> Array:
    """A batch norm in training mode over a kernel seen as [1, filters, rest]: how weights are standardised."""
    if not training or running_mean is not None or running_var is not None:
        raise ValueError("a batch norm with running statistics over weights")
    axes = (0, *range(2, input.ndim))
    shape = (1, -1) + (1,) * (input.ndim - 2)
    result = (input - input.mean(axes, keepdims=True)) / np.sqrt(input.var(axes, keepdims=True) + eps)
    result = result if weight is None else result * weight.reshape(shape)
    return np.asarray(result if bias is None else result + bias.reshape(shape))


def _weight_normalised(v: Array, g: Array, dim: int = 0) -> Array:
    """Weight normalisation (Salimans and Kingma, 2016): the length of each filter is a number of its own."""
    axes = tuple(axis for axis in range(v.ndim) if axis != dim % v.ndim)
    return np.asarray(v * (g / np.sqrt(np.sum(np.square(v), axis=axes, keepdims=True))))


def _filled(size: Sequence[int], fill_value: float) -> Array:
    """A view of one number, so that even a huge size takes no memory before it is looked at."""
    return np.broadcast_to(np.float32(fill_value), _numbers(size))


def _range(start: float, end: float, step: float = 1) -> Array:
    if not 0 <= (end - start) / step < 1 << 20:
        raise ValueError(f"a range from {start} to {end} by {step}")
    return np.arange(start, end, step)


def _spaced(start: float, end: float, steps: int) -> Array:
    if not 0 < steps < 1 << 20:
        raise ValueError(f"{steps} steps")
    return np.linspace(start, end, steps)


def _same(self: Array) -> Array:
    return self


def _reshape(self: Array, shape: Any) -> Array:
    return self.reshape(_numbers(shape))


def _of_one(function: Callable[[Array], Any]) -> Callable[..., Array]:
    return lambda self: np.asarray(function(self))


_UNARY: Mapping[str, Callable[[Array], Any]] = {
    "neg": np.negative,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "square": np.square,
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0),
    "softplus": lambda x: np.logaddexp(x, 0),
}

_ROWS: dict[str, Callable[..., Any]] = {
    **dict[str, Callable[..., Any]].fromkeys(
        (
            *("contiguous.default", "clone.default", "alias.default", "detach.default", "detach_.default"),
            *("lift_fresh_copy.default", "to.dtype", "to.device", "to.dtype_layout", "_to_copy.default"),
        ),
        _same,
    ),
    **{f"{name}.default": _of_one(function) for name, function in _UNARY.items()},
    "view.default": lambda self, size: _reshape(self, size),
    "_unsafe_view.default": lambda self, size: _reshape(self, size),
    "reshape.default": _reshape,
    "view_as.default": lambda self, other: self.reshape(other.shape),
    "reshape_as.default": lambda self, other: self.reshape(other.shape),
    "flatten.using_ints": _flatten,
    "unsqueeze.default": lambda self, dim: np.expand_dims(self, dim),
    "squeeze.default": _squeeze,
    "squeeze.dim": _squeeze,
    "squeeze.dims": _squeeze,
    "expand.default": _expand,
    "expand_as.default": lambda self, other: np.broadcast_to(self, other.shape),
    "permute.default": lambda self, dims: self.transpose(_numbers(dims)),
    "transpose.int": lambda self, dim0, dim1: self.swapaxes(dim0, dim1),
    "t.default": lambda self: self.T,
    "slice.Tensor": _slice,
    "select.int": lambda self, dim, index: np.take(self, index, axis=dim),
    "cat.default": lambda tensors, dim=0: np.concatenate(tensors, axis=dim),
    "stack.default": lambda tensors, dim=0: np.stack(tensors, axis=dim),
    "mean.dim": _over(np.mean),
    "mean.default": _over(np.mean),
    "sum.dim_IntList": _over(np.sum),
    "sum.default": _over(np.sum),
    "var.correction": _variance,
    "std.correction": lambda **given: np.sqrt(_variance(**given)),
    "linalg_vector_norm.default": _vector_norm,
    "_weight_norm.default": _weight_normalised,
    "matmul.default": lambda self, other: self @ other,
    "mm.default": lambda self, mat2: self @ mat2,
    "outer.default": lambda self, vec2: np.outer(self, vec2),
    "amax.default": _over(np.max),
    "amin.default": _over(np.min),
    "maximum.default": lambda self, other: np.maximum(self, other),
    "minimum.default": lambda self, other: np.minimum(self, other),
    "softmax.int": _softmax,
    "_softmax.default": _softmax,
    "pad.default": _padded,
    "constant_pad_nd.default": _padded,
    "flip.default": lambda self, dims: np.flip(self, _numbers(dims)),
    "var.dim": _unbiased(np.var),
    "std.dim": _unbiased(np.std),
    "mv.default": lambda self, vec: self @ vec,
    "dot.default": lambda self, tensor: self @ tensor,
    "vdot.default": lambda self, other: self @ other,
    "type_as.default": lambda self, other: self,
    "linspace.default": _spaced,
    "clamp.default": _clamp,
    "clamp_min.default": _clamp,
    "clamp_max.default": _clamp,
    "batch_norm.default": _standardised,
    "_native_batch_norm_legit.no_stats": _standardised,
    "ones.default": lambda size: _filled(size, 1),
    "zeros.default": lambda size: _filled(size, 0),
    "full.default": _filled,
    "ones_like.default": lambda self: _filled(self.shape, 1),
    "zeros_like.default": lambda self: _filled(self.shape, 0),
    "full_like.default": lambda self, fill_value: _filled(self.shape, fill_value),
    "scalar_tensor.default": lambda s: np.float32(s),
    "arange.default": lambda end: _range(0, end),
    "arange.start": _range,
    "arange.start_step": _range,
}
for _kind in ("Tensor", "Scalar"):
    _ROWS |= {
        f"add.{_kind}": _plus(1),
        f"sub.{_kind}": _plus(-1),
        f"rsub.{_kind}": _subtracted,
        f"mul.{_kind}": lambda self, other: np.multiply(self, other),
        f"div.{_kind}": lambda self, other: np.divide(self, other),
        f"pow.Tensor_{_kind}": lambda self, exponent: np.power(self, exponent),
    }

_FOLDED: Mapping[str, Callable[..., Any]] = {f"torch.ops.aten.{name}": row for name, row in _ROWS.items()}


_BROADCASTING = frozenset(f"torch.ops.aten.{name}.Tensor" for name in ("add", "sub", "rsub", "mul", "div")) | {
    "torch.ops.aten.pow.Tensor_Tensor"
}


def elements(shapes: Sequence[Sequence[int]]) -> int:
    """How many numbers a result made of weights of these shapes may have: what broadcasting them usefully makes."""
    return max([1 << 20, *(4 * prod(shape) for shape in shapes)])
