"""Statistics over axes of an image, softmax along one, matrix products: what attention blocks are written with.

What takes a statistic over the channels mixes them; over positions, channel c of the result is made of channel c.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from adapt.graph.network import Shape
from adapt.graph.operators.operator import (
    Aten,
    Attributes,
    Call,
    Flag,
    OneOf,
    OnnxCall,
    OnnxNode,
    Operator,
    Torch,
    WeightShapes,
    Whole,
    Wholes,
)

_STATISTICS = {
    "mean": "ReduceMean",
    "sum": "ReduceSum",
    "max": "ReduceMax",
    "min": "ReduceMin",
    "norm": "ReduceL2",
    "logsumexp": "ReduceLogSumExp",
}
_TORCH_NAMES = {"max": "amax", "min": "amin"}
_AXES_AS_INPUT = frozenset({"sum"})  # opset 17 gives the others' axes as an attribute


def _axes(call: Call, name: str = "dim") -> list[int]:
    rank, given = len(call.inputs[0]), call.arguments.get(name)
    dims: list[Any] = given if isinstance(given, list) else [given]
    if not dims or any(type(dim) is not int or not -rank <= dim < rank for dim in dims):
        raise ValueError(f"dimensions {given!r} of a value with {rank}")
    return sorted(dim % rank for dim in dims)


def _reduced_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    axes: Any = attributes["axes"]
    if max(axes) >= len(inputs[0]):
        raise ValueError(f"axes {axes} of {inputs[0]}")
    kept = ((axis, 1 if axis in axes else size) for axis, size in enumerate(inputs[0]))
    return tuple(size for axis, size in kept if attributes["keepdim"] or axis not in axes)


def _reduced_mixes(attributes: Attributes, inputs: Sequence[Shape]) -> str | None:
    axes: Any = attributes["axes"]
    if len(inputs[0]) != 4 or not attributes["keepdim"]:
        return f"their {attributes['how']} is taken in a way in which channels are not followed"
    return f"a {attributes['how']} is taken over all of these channels together" if 1 in axes else None


def _reduced_function(torch: Torch, attributes: Attributes) -> Callable[..., Any]:
    how = str(attributes["how"])
    axes, keepdim = attributes["axes"], attributes["keepdim"]
    if how == "norm":
        return lambda x: torch.linalg.vector_norm(x, 2, axes, keepdim)
    reduce = getattr(torch, _TORCH_NAMES.get(how, how))
    return lambda x: reduce(x, axes, keepdim)


def _reduced_onnx(call: OnnxCall) -> list[OnnxNode]:
    how, keepdims = str(call.attributes["how"]), int(bool(call.attributes["keepdim"]))
    if how in _AXES_AS_INPUT:
        axes = call.constant("axes", np.array(call.attributes["axes"], dtype=np.int64))
        attributes: dict[str, Any] = {"keepdims": keepdims}
        return [OnnxNode(op_type=_STATISTICS[how], inputs=(*call.inputs, axes), attributes=attributes)]
    attributes = {"axes": call.attributes["axes"], "keepdims": keepdims}
    return [OnnxNode(op_type=_STATISTICS[how], inputs=call.inputs, attributes=attributes)]


def _reduction(target: str, how: str) -> Aten:
    def attributes(call: Call) -> dict[str, Any]:
        return {"how": how, "axes": _axes(call), "keepdim": call.arguments.get("keepdim")}

    return Aten(
        target=target, attributes=attributes, ignored=("dim", "keepdim"), fixed={"dtype": (None,), "ord": (2, 2.0)}
    )


def _variance_function(torch: Torch, attributes: Attributes) -> Callable[..., Any]:
    given = {"dim": attributes["axes"], "correction": attributes["correction"], "keepdim": attributes["keepdim"]}
    return lambda x: (torch.std if attributes["root"] else torch.var)(x, **given)


def _variance_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    shape = _reduced_shape(inputs, attributes, weights)
    if _counted(attributes, inputs[0]) < 1:
        raise ValueError(f"a variance over axes {attributes['axes']} of {inputs[0]}, which hold one number")
    return shape


def _counted(attributes: Attributes, shape: Shape) -> int:
    axes: Any = attributes["axes"]
    correction: Any = attributes["correction"]
    numbers: int = prod(shape[axis] for axis in axes)
    return numbers - int(correction)


def _variance_onnx(call: OnnxCall) -> list[OnnxNode]:
    axes: Any = call.attributes["axes"]
    count = _counted(call.attributes, call.shapes[0])
    mean, apart, squares, total = (f"{call.name}/{step}" for step in ("mean", "apart", "squares", "total"))
    where = call.constant("axes", np.array(axes, dtype=np.int64))
    divisor = call.constant("divisor", np.array(count, dtype=np.float32))
    keepdims = int(bool(call.attributes["keepdim"]))
    variance = f"{call.name}/variance" if call.attributes["root"] else ""
    root = [OnnxNode(op_type="Sqrt", inputs=(variance,))] if variance else []
    return [
        OnnxNode(op_type="ReduceMean", inputs=call.inputs, attributes={"axes": axes, "keepdims": 1}, output=mean),
        OnnxNode(op_type="Sub", inputs=(*call.inputs, mean), output=apart),
        OnnxNode(op_type="Mul", inputs=(apart, apart), output=squares),
        OnnxNode(op_type="ReduceSum", inputs=(squares, where), attributes={"keepdims": keepdims}, output=total),
        OnnxNode(op_type="Div", inputs=(total, divisor), output=variance),
        *root,
    ]


def _spread(target: str, *, root: bool) -> Aten:
    def attributes(call: Call) -> dict[str, Any]:
        given = call.arguments
        correction = given.get("correction", int(given.get("unbiased") is not False))
        whole = 1 if correction is None else int(correction) if correction == int(correction) else correction
        rest = {"correction": whole, "keepdim": given.get("keepdim")}
        return {"axes": _axes(call), "root": root, **rest}

    return Aten(target=target, attributes=attributes, ignored=("dim", "keepdim", "unbiased", "correction"))


def _along_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    axis: Any = attributes["axis"]
    if not axis < len(inputs[0]):
        raise ValueError(f"axis {axis} of {inputs[0]}")
    return inputs[0]


def _along_mixes(attributes: Attributes, inputs: Sequence[Shape]) -> str | None:
    if len(inputs[0]) == 4 and attributes["axis"] in (2, 3):
        return None
    return "a softmax is taken over all of these channels together"


def _softmax(name: str, op_type: str) -> Operator:
    """Along any axis but the batch; of [N, classes] at the end of a network, the classes."""

    def axis(call: Call) -> dict[str, Any]:
        return {"axis": _axes(call)[0]}

    return Operator(
        name=name,
        attributes={"axis": Whole(low=1, default=1)},
        shape=_along_shape,
        function=lambda torch, attributes: lambda x: getattr(torch, name)(x, attributes["axis"]),
        onnx=lambda call: [OnnxNode(op_type=op_type, inputs=call.inputs, attributes={"axis": call.attributes["axis"]})],
        mixes=lambda attributes, inputs: None if len(inputs[0]) == 2 else _along_mixes(attributes, inputs),
        aten=(
            Aten(target=f"{name}.int", attributes=axis, ignored=("dim",), fixed={"dtype": (None,)}),
            Aten(target=f"_{name}.default", attributes=axis, ignored=("dim",), fixed={"half_to_float": (False,)}),
        ),
    )


def _product_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    first, second = inputs
    if len(first) != len(second) or len(first) < 3 or first[:-2] != second[:-2] or first[-1] != second[-2]:
        raise ValueError(f"matrices of {first} and {second} do not fit together")
    return (*first[:-1], second[-1])


def _stack_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    axis: Any = attributes["axis"]
    if not axis <= len(inputs[0]) or set(inputs) != {inputs[0]}:
        raise ValueError(f"shapes {[list(shape) for shape in inputs]} cannot be stacked along axis {axis}")
    return (*inputs[0][:axis], len(inputs), *inputs[0][axis:])


def _stack_onnx(call: OnnxCall) -> list[OnnxNode]:
    axes = call.constant("axes", np.array([call.attributes["axis"]], dtype=np.int64))
    layers = tuple(f"{call.name}/layer{index}" for index in range(len(call.inputs)))
    nodes = [
        OnnxNode(op_type="Unsqueeze", inputs=(value, axes), output=layer)
        for value, layer in zip(call.inputs, layers, strict=True)
    ]
    return [*nodes, OnnxNode(op_type="Concat", inputs=layers, attributes={"axis": call.attributes["axis"]})]


def _stacked(call: Call) -> dict[str, Any]:
    rank = len(call.inputs[0]) + 1
    return {"axis": int(call.arguments.get("dim", 0)) % rank}


OPERATORS = (
    Operator(
        name="reduce",
        attributes={
            "how": OneOf(words=tuple(_STATISTICS)),
            "axes": Wholes(low=1, high=7),
            "keepdim": Flag(default=False),
        },
        shape=_reduced_shape,
        function=_reduced_function,
        onnx=_reduced_onnx,
        mixes=_reduced_mixes,
        aten=(
            _reduction("mean.dim", "mean"),
            _reduction("sum.dim_IntList", "sum"),
            _reduction("amax.default", "max"),
            _reduction("max.dim", "max"),
            _reduction("amin.default", "min"),
            _reduction("min.dim", "min"),
            _reduction("linalg_vector_norm.default", "norm"),
            _reduction("logsumexp.default", "logsumexp"),
        ),
    ),
    Operator(
        name="variance",
        attributes={
            "axes": Wholes(low=1, high=7),
            "correction": Whole(default=1),
            "root": Flag(default=False),
            "keepdim": Flag(default=False),
        },
        shape=_variance_shape,
        function=_variance_function,
        onnx=_variance_onnx,
        mixes=lambda attributes, inputs: _reduced_mixes({**attributes, "how": "variance"}, inputs),
        aten=(
            _spread("var.dim", root=False),
            _spread("var.correction", root=False),
            _spread("std.dim", root=True),
            _spread("std.correction", root=True),
        ),
    ),
    _softmax("softmax", "Softmax"),
    _softmax("log_softmax", "LogSoftmax"),
    Operator(
        name="matmul",
        arity=2,
        shape=_product_shape,
        function=lambda torch, attributes: torch.matmul,
        onnx=lambda call: [OnnxNode(op_type="MatMul", inputs=call.inputs)],
        mixes=lambda attributes, inputs: "a matrix product of two values mixes them",
        aten=(
            Aten(target="matmul.default", inputs=("self", "other")),
            Aten(target="bmm.default", inputs=("self", "mat2")),
        ),
    ),
    Operator(
        name="stack",
        arity=0,
        attributes={"axis": Whole(low=1)},
        shape=_stack_shape,
        function=lambda torch, attributes: lambda *values: torch.stack(values, attributes["axis"]),
        onnx=_stack_onnx,
        mixes=lambda attributes, inputs: "they are stacked in a way in which channels are not followed",
        aten=(Aten(target="stack.default", inputs=("tensors",), attributes=_stacked, ignored=("dim",)),),
    ),
)
