"""Operators that only look at the same numbers differently."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from adapt.graph.network import Shape
from adapt.graph.operators.operator import (
    BATCH,
    Aten,
    Attributes,
    Axes,
    Call,
    OnnxCall,
    OnnxNode,
    Operator,
    WeightShapes,
    same_shape,
)


def _viewed(sizes: Any, shape: Shape, batch: int | None) -> Shape | None:
    """What `view(sizes)` makes of [N, ...], without N; None where N would not stay the first dimension.

    A batch that is written as a number counts as N only in a file exported with that fixed batch; otherwise the
    view is tried with two batch sizes and must keep both.
    """
    if not isinstance(sizes, list) or not sizes:
        return None
    if batch is not None and sizes[0] == batch:
        sizes = [BATCH, *sizes[1:]]
    results = {_concrete(sizes, (n, *shape[1:])) for n in (2, 3)}
    return results.pop() if len(results) == 1 else None


def _concrete(sizes: list[Any], shape: Shape) -> Shape | None:
    numbers = [shape[0] if size == BATCH else size for size in sizes]
    if any(type(n) is not int or n < -1 for n in numbers) or numbers.count(-1) > 1:
        return None
    rest, total = prod(n for n in numbers if n != -1), prod(shape)
    if -1 in numbers:
        if rest == 0 or total % rest:
            return None
        numbers[numbers.index(-1)] = total // rest
    return tuple(numbers[1:]) if numbers[0] == shape[0] and prod(numbers) == total else None


def _target(call: Call) -> Shape | None:
    """The shape, without N, that a flatten, view, reshape, squeeze or unsqueeze node leads to."""
    shape, given = call.inputs[0], call.arguments
    if "start_dim" in given or "end_dim" in given or not given:
        start, end = (_axis(given.get(key, d), len(shape)) for key, d in (("start_dim", 0), ("end_dim", -1)))
        return (*shape[1:start], prod(shape[start : end + 1]), *shape[end + 1 :]) if 0 < start <= end else None
    if "dim" in given:
        dims = given["dim"] if isinstance(given["dim"], list) else [given["dim"]]
        gone = {_axis(dim, len(shape)) for dim in dims}
        return (
            tuple(n for axis, n in enumerate(shape) if axis and not (axis in gone and n == 1))
            if 0 not in gone
            else None
        )
    return _viewed(given.get("size", given.get("shape")), shape, call.batch)


def _axis(dim: Any, rank: int) -> int:
    if type(dim) is not int or not -rank <= dim < rank:
        raise ValueError(f"dimension {dim!r} does not exist")
    return dim % rank


def _flattens(call: Call) -> bool:
    return len(call.inputs[0]) > 2 and _target(call) == (prod(call.inputs[0][1:]),)


def _keeps_shape(call: Call) -> bool:
    return _target(call) == call.inputs[0][1:]


def _adds_trailing_ones(call: Call) -> bool:
    return len(call.inputs[0]) == 2 and _target(call) == (call.inputs[0][1], 1, 1)


def _next_unsqueeze(call: Call) -> bool:
    """unsqueeze(-1) written once; two of them in a row lead from [N, C] to [N, C, 1, 1]."""
    rank, dim = len(call.inputs[0]), call.arguments.get("dim")
    return rank in (2, 3) and dim in (-1, rank)


def _squeezes_one(call: Call) -> bool:
    return len(call.inputs[0]) == 4 and _target(call) in _without_one(call.inputs[0]).values()


def _without_one(shape: Shape) -> dict[tuple[int, ...], Shape]:
    """Dimension 2 or 3 of [N, C, H, W], where it is 1 -> the shape without it and without N."""
    return {(axis,): shape[1:axis] + shape[axis + 1 :] for axis in (3, 2) if shape[axis] == 1}


def _squeezed_dim(call: Call) -> dict[str, Any]:
    target = _target(call)
    return {"dims": next(dims for dims, left in _without_one(call.inputs[0]).items() if left == target)}


def _squeeze_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    dims: Any = attributes["dims"]
    if len(inputs[0]) != 4 or inputs[0][dims[0]] != 1:
        raise ValueError(f"dimension {dims[0]} of {inputs[0]} is not 1")
    return inputs[0][: dims[0]] + inputs[0][dims[0] + 1 :]


def _squeeze_onnx(call: OnnxCall) -> list[OnnxNode]:
    axes = call.constant("axes", np.array(call.attributes["dims"], dtype=np.int64))
    return [OnnxNode(op_type="Squeeze", inputs=(*call.inputs, axes))]


def _squeezed(call: Call) -> Shape | None:
    """The shape, without N, behind squeeze() of every size 1; a fixed batch of one would be squeezed too."""
    return None if call.batch == 1 else tuple(n for n in call.inputs[0][1:] if n != 1)


def _whole_slice(call: Call) -> bool:
    """x[:, :] takes everything: start 0, end behind the last, step 1."""
    dim = _axis(call.arguments.get("dim", 0), len(call.inputs[0]))
    start, end, step = (call.arguments.get(name) for name in ("start", "end", "step"))
    enough = _WHOLE if dim == 0 else call.inputs[0][dim]
    return start in (None, 0) and step in (None, 1) and (end is None or (type(end) is int and end >= enough))


def _flatten_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    return (inputs[0][0], prod(inputs[0][1:]))


def _unsqueeze_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    dims: Any = attributes["dims"]
    if dims[0] != len(inputs[0]):
        raise ValueError(f"dimensions {dims} cannot be added behind {inputs[0]}")
    return inputs[0] + (1,) * len(dims)


def _unsqueeze_onnx(call: OnnxCall) -> list[OnnxNode]:
    axes = call.constant("axes", np.array(call.attributes["dims"], dtype=np.int64))
    return [OnnxNode(op_type="Unsqueeze", inputs=(*call.inputs, axes))]


def viewed(call: Call) -> Shape | None:
    """The shape, without N, that a view, reshape, flatten or squeeze leads to; None for no view of each image."""
    return _target(call)


def unflattened(call: Call) -> Shape | None:
    """As `viewed`, of one dimension that becomes several."""
    shape, sizes = call.inputs[0], call.arguments.get("sizes")
    axis = _axis(call.arguments.get("dim"), len(shape))
    if not axis or not isinstance(sizes, list):
        return None
    return _viewed([BATCH, *shape[1:axis], *sizes, *shape[axis + 1 :]], shape, None)


def unsqueezed(call: Call) -> Shape | None:
    """As `viewed`, of a dimension of 1 that is added."""
    shape = call.inputs[0]
    axis = _axis(call.arguments.get("dim"), len(shape) + 1)
    return (*shape[1:axis], 1, *shape[axis:]) if axis else None


_WHOLE = (1 << 63) - 1  # how torch writes the end of x[:]
_VIEWS = (
    ("flatten.using_ints", ("start_dim", "end_dim")),
    ("view.default", ("size",)),
    ("reshape.default", ("shape",)),
    ("squeeze.dim", ("dim",)),
    ("squeeze.dims", ("dim",)),
)

_COPYING = ("non_blocking", "copy", "memory_format")

OPERATORS = (
    Operator(
        name="flatten",
        shape=_flatten_shape,
        allocates=False,
        function=lambda torch, attributes: lambda x: torch.flatten(x, 1),
        onnx=lambda call: [OnnxNode(op_type="Flatten", inputs=call.inputs, attributes={"axis": 1})],
        aten=(
            *(Aten(target=t, when=_flattens, ignored=names, alias=True) for t, names in _VIEWS),
            Aten(target="squeeze.default", when=lambda call: _squeezed(call) == call.inputs[0][1:2], alias=True),
        ),
    ),
    Operator(
        name="squeeze",
        attributes={"dims": Axes(allowed=((2,), (3,)))},
        shape=_squeeze_shape,
        allocates=False,
        function=lambda torch, attributes: lambda x: x.squeeze(attributes["dims"]),
        onnx=_squeeze_onnx,
        aten=tuple(
            Aten(target=f"squeeze.{kind}", when=_squeezes_one, attributes=_squeezed_dim, ignored=("dim",), alias=True)
            for kind in ("dim", "dims")
        ),
    ),
    Operator(
        name="unsqueeze",
        attributes={"dims": Axes(allowed=((2,), (3,), (2, 3)))},
        shape=_unsqueeze_shape,
        allocates=False,
        function=lambda torch, attributes: lambda x: x.reshape(x.shape + (1,) * len(attributes["dims"])),  # type: ignore[arg-type]
        onnx=_unsqueeze_onnx,
        aten=(
            *(
                Aten(
                    target=target,
                    when=_adds_trailing_ones,
                    attributes=lambda call: {"dims": (2, 3)},
                    ignored=names,
                    alias=True,
                )
                for target, names in _VIEWS[1:3]
            ),
            Aten(
                target="unsqueeze.default",
                when=_next_unsqueeze,
                attributes=lambda call: {"dims": (len(call.inputs[0]),)},
                ignored=("dim",),
                alias=True,
            ),
        ),
    ),
    # What follows is dropped by the readers: the value is its input under another name.
    Operator(
        name="identity",
        shape=same_shape,
        allocates=False,
        function=lambda torch, attributes: lambda x: x,
        onnx=lambda call: [OnnxNode(op_type="Identity", inputs=call.inputs)],
        aten=(
            *(Aten(target=t, when=_keeps_shape, ignored=names, alias=True) for t, names in _VIEWS),
            Aten(target="squeeze.default", when=lambda call: _squeezed(call) == call.inputs[0][1:], alias=True),
            Aten(target="slice.Tensor", when=_whole_slice, ignored=("dim", "start", "end", "step"), alias=True),
            Aten(target="contiguous.default", ignored=("memory_format",), alias=True),
            Aten(target="clone.default", ignored=("memory_format",)),
            # everything is float32 here; that a result is no other than a floating-point tensor is checked for all
            Aten(target="to.dtype", ignored=("dtype", "non_blocking", "copy", "memory_format"), alias=True),
            *(
                Aten(target=t, ignored=("dtype", "layout", "device", "pin_memory", *_COPYING), alias=True)
                for t in ("to.dtype_layout", "to.device")
            ),
            Aten(target="type_as.default", weights=("other",), alias=True),
            Aten(target="type_as.default", inputs=("self", "other"), alias=True),
            Aten(target="_to_copy.default", ignored=("dtype", "layout", "device", "non_blocking", "memory_format")),
            Aten(target="alias.default", alias=True),
            Aten(target="detach.default", alias=True),
            Aten(target="detach_.default", alias=True),
        ),
    ),
)
