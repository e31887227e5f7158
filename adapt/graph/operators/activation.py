"""Functions of one tensor, element by element."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from adapt.graph.operators.operator import (
    Aten,
    Attributes,
    Call,
    Field,
    OneOf,
    OnnxCall,
    OnnxNode,
    Operator,
    Real,
    Torch,
    same_shape,
    scalar,
    with_in_place,
)

_FAR = 3e38
"""Limits a float32 never reaches: a clamp without one of its limits."""


def _elementwise(
    name: str,
    function: Callable[[Torch, Attributes], Callable[..., Any]],
    onnx: Callable[[OnnxCall], list[OnnxNode]],
    *readings: Aten,
    attributes: Mapping[str, Field] | None = None,
    plain: Mapping[str, Any] | None = None,
) -> Operator:
    """`plain` completes the reading of the operator's own aten spelling."""
    spelled = with_in_place(Aten(target=f"{name}.default", **(plain or {})), *readings)
    return Operator(
        name=name, shape=same_shape, function=function, onnx=onnx, aten=spelled, attributes=attributes or {}
    )


def _one(op_type: str, **attributes: Any) -> Callable[[OnnxCall], list[OnnxNode]]:
    return lambda call: [OnnxNode(op_type=op_type, inputs=call.inputs, attributes=attributes)]


def _then(first: str, second: str) -> Callable[[OnnxCall], list[OnnxNode]]:
    return lambda call: [
        OnnxNode(op_type=first, inputs=call.inputs, output=f"{call.name}/{first}"),
        OnnxNode(op_type=second, inputs=(f"{call.name}/{first}",)),
    ]


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


def _gelu(call: OnnxCall) -> list[OnnxNode]:
    """x * (1 + erf(x / sqrt 2)) / 2, or with tanh of a polynomial: opset 17 has no operator for either."""
    inner, outer, scaled = f"{call.name}/inner", f"{call.name}/outer", f"{call.name}/scaled"
    half, one = call.constant("half", scalar(0.5)), call.constant("one", scalar(1.0))
    if call.attributes["approximate"] == "tanh":
        nodes, bent = _tanh_polynomial(call), "Tanh"
    else:
        root = call.constant("root", scalar(1 / math.sqrt(2)))
        nodes, bent = [OnnxNode(op_type="Mul", inputs=(*call.inputs, root), output=inner)], "Erf"
    return [
        *nodes,
        OnnxNode(op_type=bent, inputs=(inner,), output=outer),
        OnnxNode(op_type="Add", inputs=(outer, one), output=f"{call.name}/shifted"),
        OnnxNode(op_type="Mul", inputs=(*call.inputs, f"{call.name}/shifted"), output=scaled),
        OnnxNode(op_type="Mul", inputs=(scaled, half)),
    ]


def _tanh_polynomial(call: OnnxCall) -> list[OnnxNode]:
    """sqrt(2 / pi) * (x + 0.044715 x^3)"""
    square, cube, term, total = (f"{call.name}/{part}" for part in ("square", "cube", "term", "total"))
    third = call.constant("third", scalar(0.044715))
    root = call.constant("root", scalar(math.sqrt(2 / math.pi)))
    return [
        OnnxNode(op_type="Mul", inputs=call.inputs * 2, output=square),
        OnnxNode(op_type="Mul", inputs=(*call.inputs, square), output=cube),
        OnnxNode(op_type="Mul", inputs=(cube, third), output=term),
        OnnxNode(op_type="Add", inputs=(*call.inputs, term), output=total),
        OnnxNode(op_type="Mul", inputs=(total, root), output=f"{call.name}/inner"),
    ]


def _mish(call: OnnxCall) -> list[OnnxNode]:
    soft, gate = f"{call.name}/softplus", f"{call.name}/tanh"
    return [
        OnnxNode(op_type="Softplus", inputs=call.inputs, output=soft),
        OnnxNode(op_type="Tanh", inputs=(soft,), output=gate),
        OnnxNode(op_type="Mul", inputs=(*call.inputs, gate)),
    ]


def _elu(call: OnnxCall) -> list[OnnxNode]:
    return [OnnxNode(op_type="Elu", inputs=call.inputs, attributes={"alpha": call.attributes["alpha"]})]


def _clip(call: OnnxCall) -> list[OnnxNode]:
    limits = [call.constant(name, scalar(float(call.attributes[name]))) for name in ("low", "high")]  # type: ignore[arg-type]
    return [OnnxNode(op_type="Clip", inputs=(*call.inputs, *limits))]


def _given_limits(names: tuple[str, str], defaults: tuple[float, float]) -> Callable[[Call], dict[str, Any]]:
    def limits(call: Call) -> dict[str, Any]:
        given = (call.arguments.get(name) for name in names)
        low, high = (default if value is None else value for value, default in zip(given, defaults, strict=True))
        return {"low": low, "high": high}

    return limits


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
    _elementwise(
        "gelu",
        lambda torch, attributes: lambda x: torch.nn.functional.gelu(x, **attributes),
        _gelu,
        attributes={"approximate": OneOf(words=("none", "tanh"), default="none")},
    ),
    _elementwise(
        "elu",
        lambda torch, attributes: lambda x: torch.nn.functional.elu(x, attributes["alpha"]),
        _elu,
        attributes={"alpha": Real(low=-100.0, high=100.0, default=1.0)},
        plain={"fixed": {"scale": (1, 1.0), "input_scale": (1, 1.0)}},
    ),
    _elementwise(
        "celu",
        lambda torch, attributes: lambda x: torch.nn.functional.celu(x, attributes["alpha"]),
        lambda call: [OnnxNode(op_type="Celu", inputs=call.inputs, attributes=call.attributes)],
        attributes={"alpha": Real(low=1e-3, high=100.0, default=1.0)},
    ),
    _elementwise(
        "selu",
        lambda torch, attributes: torch.selu,
        _one("Selu", alpha=1.6732632423543772, gamma=1.0507009873554805),
    ),
    _elementwise("abs", lambda torch, attributes: torch.abs, _one("Abs")),
    _elementwise("sqrt", lambda torch, attributes: torch.sqrt, _one("Sqrt")),
    _elementwise("exp", lambda torch, attributes: torch.exp, _one("Exp")),
    _elementwise("erf", lambda torch, attributes: torch.erf, _one("Erf")),
    _elementwise("log", lambda torch, attributes: torch.log, _one("Log")),
    _elementwise("reciprocal", lambda torch, attributes: torch.reciprocal, _one("Reciprocal")),
    _elementwise("rsqrt", lambda torch, attributes: torch.rsqrt, _then("Sqrt", "Reciprocal")),
    _elementwise("log_sigmoid", lambda torch, attributes: torch.nn.functional.logsigmoid, _then("Sigmoid", "Log")),
    _elementwise("softsign", lambda torch, attributes: torch.nn.functional.softsign, _one("Softsign")),
    _elementwise(
        "softplus",
        lambda torch, attributes: torch.nn.functional.softplus,
        _one("Softplus"),
        plain={"fixed": {"beta": (1, 1.0), "threshold": (20, 20.0)}},
    ),
    _elementwise("neg", lambda torch, attributes: torch.neg, _one("Neg")),
    _elementwise("mish", lambda torch, attributes: torch.nn.functional.mish, _mish),
    Operator(  # any other limits than those of ReLU and ReLU6, which are asked before
        name="clamp",
        attributes={"low": Real(low=-_FAR, high=_FAR), "high": Real(low=-_FAR, high=_FAR)},
        shape=same_shape,
        function=lambda torch, attributes: lambda x: torch.clamp(x, attributes["low"], attributes["high"]),
        onnx=_clip,
        aten=with_in_place(
            Aten(
                target="hardtanh.default",
                attributes=_given_limits(("min_val", "max_val"), (-1.0, 1.0)),
                ignored=("min_val", "max_val"),
            ),
            *(
                Aten(
                    target=target,
                    attributes=_given_limits(("min", "max"), (-_FAR, _FAR)),
                    ignored=("min", "max"),
                )
                for target in ("clamp.default", "clamp_min.default", "clamp_max.default")
            ),
        ),
    ),
)
