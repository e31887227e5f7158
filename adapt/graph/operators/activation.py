"""Functions of one tensor, element by element, and the softmax at the end."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapt.graph.network import Shape
from adapt.graph.operators.operator import (
    Aten,
    Attributes,
    Call,
    Field,
    OnnxCall,
    OnnxNode,
    Operator,
    Real,
    Torch,
    WeightShapes,
    same_shape,
    scalar,
    with_in_place,
)


def _elementwise(
    name: str,
    function: Callable[[Torch, Attributes], Callable[..., Any]],
    onnx: Callable[[OnnxCall], list[OnnxNode]],
    *readings: Aten,
    attributes: Mapping[str, Field] | None = None,
) -> Operator:
    spelled = with_in_place(Aten(target=f"{name}.default"), *readings)
    return Operator(
        name=name, shape=same_shape, function=function, onnx=onnx, aten=spelled, attributes=attributes or {}
    )


def _one(op_type: str, **attributes: Any) -> Callable[[OnnxCall], list[OnnxNode]]:
    return lambda call: [OnnxNode(op_type=op_type, inputs=call.inputs, attributes=attributes)]


def _limits(low: float, high: float | None) -> Callable[[Call], bool]:
    """Whether a clamp is exactly [low, high]; a limit that is left out is None (clamp) or 1 (hardtanh)."""

    def holds(call: Call) -> bool:
        given = call.arguments
        if "min_val" in given or "max_val" in given:
            return (given.get("min_val", -1.0), given.get("max_val", 1.0)) == (low, high)
        return (given.get("min"), given.get("max")) == (low, high)

    return holds


def _clamp_readings(low: float, high: float | None) -> tuple[Aten, ...]:
    when = _limits(low, high)
    return (
        Aten(target="hardtanh.default", when=when, ignored=("min_val", "max_val")),
        Aten(target="clamp.default", when=when, ignored=("min", "max")),
    )


def _clip_at_6(call: OnnxCall) -> list[OnnxNode]:
    limits = (call.constant("min", scalar(0.0)), call.constant("max", scalar(6.0)))
    return [OnnxNode(op_type="Clip", inputs=(*call.inputs, *limits))]


def _times_sigmoid(call: OnnxCall) -> list[OnnxNode]:
    gate = f"{call.name}/sigmoid"
    return [
        OnnxNode(op_type="Sigmoid", inputs=call.inputs, output=gate),
        OnnxNode(op_type="Mul", inputs=(*call.inputs, gate)),
    ]


def _leaky_relu(call: OnnxCall) -> list[OnnxNode]:
    attributes = {"alpha": call.attributes["negative_slope"]}
    return [OnnxNode(op_type="LeakyRelu", inputs=call.inputs, attributes=attributes)]


def _over_classes(name: str, op_type: str) -> Operator:
    def shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
        if len(inputs[0]) != 2:
            raise ValueError(f"is supported over the classes of [N, classes] only, has {inputs[0]}")
        return inputs[0]

    def along_last(call: Call) -> bool:
        return len(call.inputs[0]) == 2 and call.arguments.get("dim") in (1, -1)

    return Operator(
        name=name,
        shape=shape,
        function=lambda torch, attributes: lambda x: getattr(torch, name)(x, 1),
        onnx=_one(op_type, axis=1),
        aten=(Aten(target=f"{name}.int", when=along_last, ignored=("dim",), fixed={"dtype": (None,)}),),
    )


OPERATORS = (
    _elementwise(
        "relu",
        lambda torch, attributes: torch.relu,
        _one("Relu"),
        Aten(target="clamp.default", when=_limits(0, None), ignored=("min", "max")),
        Aten(target="clamp_min.default", when=_limits(0, None), ignored=("min",)),
    ),
    _elementwise("relu6", lambda torch, attributes: torch.nn.functional.relu6, _clip_at_6, *_clamp_readings(0, 6)),
    _elementwise("hardswish", lambda torch, attributes: torch.nn.functional.hardswish, _one("HardSwish")),
    _elementwise(
        "hardsigmoid",
        lambda torch, attributes: torch.nn.functional.hardsigmoid,
        _one("HardSigmoid", alpha=1 / 6, beta=0.5),
    ),
    _elementwise("sigmoid", lambda torch, attributes: torch.sigmoid, _one("Sigmoid")),
    _elementwise("silu", lambda torch, attributes: torch.nn.functional.silu, _times_sigmoid),
    _elementwise("tanh", lambda torch, attributes: torch.tanh, _one("Tanh")),
    _elementwise(
        "leaky_relu",
        lambda torch, attributes: lambda x: torch.nn.functional.leaky_relu(x, attributes["negative_slope"]),
        _leaky_relu,
        attributes={"negative_slope": Real(low=-10.0, high=10.0, default=0.01)},
    ),
    _over_classes("softmax", "Softmax"),
    _over_classes("log_softmax", "LogSoftmax"),
)
