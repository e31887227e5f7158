"""Sums and products of two tensors (residuals, squeeze-and-excite) and with plain numbers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from adapt.graph.network import Shape
from adapt.graph.operators.operator import (
    BATCH,
    Aten,
    Attributes,
    Call,
    OnnxCall,
    OnnxNode,
    Operator,
    Real,
    WeightShapes,
    Wholes,
    same_shape,
    scalar,
    with_in_place,
)

_LIMIT = 1e6


def _broadcast(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    a, b = inputs
    if a == b:
        return a
    if len(a) != len(b) or any(x != y and 1 not in (x, y) for x, y in zip(a, b, strict=True)) or a[0] != b[0]:
        raise ValueError(f"the shapes {a} and {b} do not fit together")
    return tuple(max(x, y) for x, y in zip(a, b, strict=True))


def _with_number(call: Call) -> bool:
    other = call.arguments.get("other")
    return len(call.inputs) == 1 and type(other) in (int, float)


def _value(of: Callable[[float], float]) -> Callable[[Call], dict[str, Any]]:
    return lambda call: {"value": of(call.arguments["other"])}


def _inverse(value: float) -> float:
    if value == 0:
        raise ValueError("divides by zero")
    return 1 / value


def _two(op_type: str) -> Callable[[OnnxCall], list[OnnxNode]]:
    return lambda call: [OnnxNode(op_type=op_type, inputs=call.inputs)]


def _with_constant(op_type: str) -> Callable[[OnnxCall], list[OnnxNode]]:
    def spell(call: OnnxCall) -> list[OnnxNode]:
        value: Any = call.attributes["value"]
        return [OnnxNode(op_type=op_type, inputs=(*call.inputs, call.constant("value", scalar(value))))]

    return spell


def _subtracted_onnx(call: OnnxCall) -> list[OnnxNode]:
    value: Any = call.attributes["value"]
    return [OnnxNode(op_type="Sub", inputs=(call.constant("value", scalar(value)), *call.inputs))]


def _expanded(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    if _broadcast(inputs, attributes, weights) != inputs[1]:
        raise ValueError(f"{inputs[0]} does not spread over {inputs[1]}")
    return inputs[1]


def _expand_onnx(call: OnnxCall) -> list[OnnxNode]:
    sizes = f"{call.name}/sizes"
    return [
        OnnxNode(op_type="Shape", inputs=call.inputs[1:], output=sizes),
        OnnxNode(op_type="Expand", inputs=(call.inputs[0], sizes)),
    ]


def _spread_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    sizes: Any = attributes["sizes"]
    shape = inputs[0]
    if len(sizes) + 1 != len(shape) or any(own not in (1, size) for own, size in zip(shape[1:], sizes, strict=True)):
        raise ValueError(f"{shape} does not spread over [N, {', '.join(map(str, sizes))}]")
    return (shape[0], *sizes)


def _spread(call: Call) -> dict[str, Any]:
    """-1 leaves a size as it is."""
    size, shape = call.arguments.get("size"), call.inputs[0]
    if not isinstance(size, list) or len(size) != len(shape) or size[0] not in (-1, BATCH, call.batch):
        raise ValueError(f"{shape} is spread over {size!r}, which makes more images or another rank")
    return {"sizes": [own if given == -1 else given for given, own in zip(size[1:], shape[1:], strict=True)]}


def _repeated(call: Call) -> dict[str, Any]:
    """Sizes of 1, repeated, are spread; others would be laid side by side."""
    times: Any = call.arguments.get("repeats")
    shape = call.inputs[0]
    if not isinstance(times, list) or len(times) != len(shape) or times[0] != 1:
        raise ValueError(f"{shape} is repeated {times!r} times, which makes more images or another rank")
    if any(own != 1 != given for own, given in zip(shape[1:], times[1:], strict=True)):
        raise ValueError(f"{shape} is repeated {times!r} times; only what has a size of 1 is")
    return {"sizes": [own * given for own, given in zip(shape[1:], times[1:], strict=True)]}


def _spread_onnx(call: OnnxCall) -> list[OnnxNode]:
    sizes: Any = call.attributes["sizes"]
    wanted = call.constant("sizes", np.array([1, *sizes], dtype=np.int64))  # 1: as the input, the batch
    return [OnnxNode(op_type="Expand", inputs=(*call.inputs, wanted))]


_SPREAD_MIXES = "they are spread over another value in a way in which channels are not followed"
_BOTH = ("self", "other")
_FACTOR = {"alpha": (1, 1.0)}
_NUMBER = {"value": Real(low=-_LIMIT, high=_LIMIT)}

OPERATORS = (
    Operator(
        name="add",
        arity=2,
        shape=_broadcast,
        function=lambda torch, attributes: torch.add,
        onnx=_two("Add"),
        aten=with_in_place(Aten(target="add.Tensor", inputs=_BOTH, fixed=_FACTOR)),
    ),
    Operator(
        name="mul",
        arity=2,
        shape=_broadcast,
        function=lambda torch, attributes: torch.mul,
        onnx=_two("Mul"),
        aten=with_in_place(Aten(target="mul.Tensor", inputs=_BOTH)),
    ),
    Operator(
        name="div",
        arity=2,
        shape=_broadcast,
        function=lambda torch, attributes: torch.div,
        onnx=_two("Div"),
        aten=with_in_place(Aten(target="div.Tensor", inputs=_BOTH)),
    ),
    Operator(
        name="sub",
        arity=2,
        shape=_broadcast,
        function=lambda torch, attributes: torch.sub,
        onnx=_two("Sub"),
        aten=with_in_place(Aten(target="sub.Tensor", inputs=_BOTH, fixed=_FACTOR)),
    ),
    *(
        Operator(
            name=name,
            arity=2,
            shape=_broadcast,
            function=lambda torch, attributes, name=name: getattr(torch, name),  # type: ignore[misc]
            onnx=_two(op_type),
            aten=tuple(Aten(target=target, inputs=_BOTH) for target in (f"{name}.default", f"{name[:3]}.other")),
        )
        for name, op_type in (("maximum", "Max"), ("minimum", "Min"))
    ),
    Operator(
        name="subtracted_from_scalar",
        attributes=_NUMBER,
        shape=same_shape,
        function=lambda torch, attributes: lambda x: attributes["value"] - x,
        onnx=_subtracted_onnx,
        aten=(
            Aten(target="rsub.Scalar", when=_with_number, attributes=_value(float), fixed=_FACTOR, ignored=("other",)),
        ),
    ),
    Operator(  # written out for a product that would broadcast all the same
        name="expand_as",
        arity=2,
        shape=_expanded,
        function=lambda torch, attributes: lambda x, like: x.expand_as(like),
        onnx=_expand_onnx,
        mixes=lambda attributes, inputs: _SPREAD_MIXES,
        aten=(Aten(target="expand_as.default", inputs=_BOTH, alias=True),),
    ),
    Operator(
        name="expand",
        attributes={"sizes": Wholes(low=1, high=1 << 24)},
        shape=_spread_shape,
        function=lambda torch, attributes: lambda x: x.expand(-1, *attributes["sizes"]),  # type: ignore[misc]
        onnx=_spread_onnx,
        mixes=lambda attributes, inputs: _SPREAD_MIXES,
        aten=(
            Aten(target="expand.default", attributes=_spread, ignored=("size", "implicit"), alias=True),
            Aten(target="repeat.default", attributes=_repeated, ignored=("repeats",)),
        ),
    ),
    Operator(
        name="pow_scalar",
        attributes=_NUMBER,
        shape=same_shape,
        function=lambda torch, attributes: lambda x: x ** attributes["value"],
        onnx=_with_constant("Pow"),
        aten=with_in_place(
            Aten(
                target="pow.Tensor_Scalar",
                attributes=lambda call: {"value": call.arguments["exponent"]},
                ignored=("exponent",),
            ),
            Aten(target="square.default", attributes=lambda call: {"value": 2.0}),
        ),
    ),
    Operator(
        name="add_scalar",
        attributes=_NUMBER,
        shape=same_shape,
        function=lambda torch, attributes: lambda x: x + attributes["value"],
        onnx=_with_constant("Add"),
        aten=with_in_place(
            *(
                Aten(target=target, when=_with_number, attributes=_value(of), fixed=_FACTOR, ignored=("other",))
                for target, of in (
                    ("add.Tensor", lambda v: v),
                    ("add.Scalar", lambda v: v),
                    ("sub.Tensor", lambda v: -v),
                    ("sub.Scalar", lambda v: -v),
                )
            )
        ),
    ),
    Operator(
        name="mul_scalar",
        attributes=_NUMBER,
        shape=same_shape,
        function=lambda torch, attributes: lambda x: x * attributes["value"],
        onnx=_with_constant("Mul"),
        aten=with_in_place(
            *(
                Aten(target=target, when=_with_number, attributes=_value(of), ignored=("other",))
                for target, of in (
                    ("mul.Tensor", lambda v: v),
                    ("mul.Scalar", lambda v: v),
                    ("div.Tensor", _inverse),
                    ("div.Scalar", _inverse),
                )
            )
        ),
    ),
)
