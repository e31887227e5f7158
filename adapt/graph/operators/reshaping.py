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


_VIEWS = (
    ("flatten.using_ints", ("start_dim", "end_dim")),
    ("view.default", ("size",)),
    ("reshape.default", ("shape",)),
    ("squeeze.dim", ("dim",)),
    ("squeeze.dims", ("dim",)),
)

OPERATORS = (
    Operator(
        name="flatten",
        shape=_flatten_shape,
        allocates=False,
        function=lambda torch, attributes: lambda x: torch.flatten(x, 1),
        onnx=lambda call: [OnnxNode(op_type="Flatten", inputs=call.inputs, attributes={"axis": 1})],
        aten=tuple(Aten(target=t, when=_flattens, ignored=names, alias=True) for t, names in _VIEWS),
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
            Aten(target="contiguous.default", ignored=("memory_format",), alias=True),
            Aten(target="clone.default", ignored=("memory_format",)),
            Aten(target="alias.default", alias=True),
            Aten(target="detach.default", alias=True),
            Aten(target="detach_.default", alias=True),
        ),
    ),
)
