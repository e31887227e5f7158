"""Convolution and linear layers: the operators that hold the filters and the multiply-adds."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from adapt.graph.network import Shape
from adapt.graph.operators.operator import (
    Aten,
    Attributes,
    Call,
    OnnxCall,
    OnnxNode,
    Operator,
    Pair,
    Torch,
    WeightShapes,
    Whole,
)

_WEIGHT_AND_BIAS = ("weight", "bias")


def sliding_size(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Output positions of a window along one axis; raises ValueError when it does not fit once."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if room < 0:
        raise ValueError(f"a window of {dilation * (kernel - 1) + 1} does not fit into {size} + 2 x {padding} pixels")
    return room // stride + 1


def _groups(inputs: Sequence[Shape], weights: WeightShapes) -> int:
    return inputs[0][1] // weights["weight"][1]


def _check_bias(weights: WeightShapes) -> None:
    if "bias" in weights and weights["bias"] != weights["weight"][:1]:
        raise ValueError(f"bias has shape {weights['bias']}, the weight {weights['weight']}")


def _conv2d_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    shape, weight = inputs[0], weights["weight"]
    if len(shape) != 4 or len(weight) != 4:
        raise ValueError(f"needs an input [N, C, H, W] and a weight of rank 4, has {shape} and {weight}")
    filters, per_group, kernel_height, kernel_width = weight
    if min(weight) < 1 or shape[1] % per_group or filters % (shape[1] // per_group):
        raise ValueError(f"a weight of shape {weight} does not fit {shape[1]} input channels")
    _check_bias(weights)
    stride: Any = attributes["stride"]
    padding: Any = attributes["padding"]
    dilation: Any = attributes["dilation"]
    return (
        shape[0],
        filters,
        sliding_size(shape[2], kernel_height, stride[0], padding[0], dilation[0]),
        sliding_size(shape[3], kernel_width, stride[1], padding[1], dilation[1]),
    )


def _conv2d_macs(output: Shape, weights: WeightShapes) -> int:
    filters, per_group, kernel_height, kernel_width = weights["weight"]
    return filters * per_group * kernel_height * kernel_width * output[2] * output[3]


def _conv2d_module(torch: Torch, inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Any:
    return torch.nn.Conv2d(
        inputs[0][1],
        weights["weight"][0],
        weights["weight"][2:],
        **attributes,
        groups=_groups(inputs, weights),
        bias="bias" in weights,
    )


def _conv2d_onnx(call: OnnxCall) -> list[OnnxNode]:
    padding: Any = call.attributes["padding"]
    attributes = {
        "kernel_shape": call.weight_shapes["weight"][2:],
        "strides": call.attributes["stride"],
        "pads": (*padding, *padding),
        "dilations": call.attributes["dilation"],
        "group": _groups(call.shapes, call.weight_shapes),
    }
    tensors = tuple(call.weights[role] for role in ("weight", "bias") if role in call.weights)
    return [OnnxNode(op_type="Conv", inputs=(call.inputs[0], *tensors), attributes=attributes)]


def _padding_by_name(call: Call) -> Mapping[str, Any]:
    """padding="same" or "valid" as numbers. Torch allows "same" with stride 1 only."""
    arguments = {name: call.arguments[name] for name in ("stride", "dilation") if name in call.arguments}
    if call.arguments.get("padding") == "valid":
        return {**arguments, "padding": (0, 0)}
    if call.arguments.get("padding") != "same":
        raise ValueError(f"padding {call.arguments.get('padding')!r} is not known")
    dilation: Any = Pair(low=1).read(arguments.get("dilation", 1))
    spans = [d * (k - 1) for d, k in zip(dilation, call.weights["weight"][2:], strict=True)]
    if any(span % 2 for span in spans):
        raise ValueError('padding="same" with an even kernel pads unevenly; use an odd kernel or explicit padding')
    return {**arguments, "padding": (spans[0] // 2, spans[1] // 2)}


def _implied_groups(call: Call) -> int:
    return _groups(call.inputs, call.weights)


CONV2D = Operator(
    name="conv2d",
    attributes={
        "stride": Pair(low=1, default=(1, 1)),
        "padding": Pair(low=0, default=(0, 0)),
        "dilation": Pair(low=1, default=(1, 1)),
    },
    weights={"weight": True, "bias": False},
    shape=_conv2d_shape,
    macs=_conv2d_macs,
    module=_conv2d_module,
    onnx=_conv2d_onnx,
    aten=(
        Aten(target="conv2d.default", inputs=("input",), weights=_WEIGHT_AND_BIAS, implied={"groups": _implied_groups}),
        Aten(
            target="conv2d.padding",
            inputs=("input",),
            weights=_WEIGHT_AND_BIAS,
            attributes=_padding_by_name,
            implied={"groups": _implied_groups},
        ),
        Aten(
            target="convolution.default",
            inputs=("input",),
            weights=_WEIGHT_AND_BIAS,
            fixed={"transposed": (False,), "output_padding": ([0, 0],)},
            implied={"groups": _implied_groups},
        ),
    ),
)


def _linear_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    shape, weight = inputs[0], weights["weight"]
    if len(shape) not in (2, 4) or len(weight) != 2 or shape[-1] != weight[1]:
        raise ValueError(
            f"a weight of shape {weight} does not fit an input of shape {shape}; "
            "[N, features] or [N, H, W, features] is needed"
        )
    if min(weight) < 1:
        raise ValueError(f"the weight of shape {weight} is empty")
    _check_bias(weights)
    return (*shape[:-1], weight[0])


def _linear_macs(output: Shape, weights: WeightShapes) -> int:
    return weights["weight"][0] * weights["weight"][1] * prod(output[1:-1])


def _linear_module(torch: Torch, inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Any:
    return torch.nn.Linear(weights["weight"][1], weights["weight"][0], bias="bias" in weights)


def _linear_onnx(call: OnnxCall) -> list[OnnxNode]:
    tensors = tuple(call.weights[role] for role in ("weight", "bias") if role in call.weights)
    if len(call.shapes[0]) == 4:
        return _positionwise_onnx(call)
    return [OnnxNode(op_type="Gemm", inputs=(call.inputs[0], *tensors), attributes={"transB": 1})]


def _positionwise_onnx(call: OnnxCall) -> list[OnnxNode]:
    """Over the last axis of [N, H, W, features]; runtimes fold the transposition of a constant."""
    turned, product = f"{call.name}/turned", f"{call.name}/product" if "bias" in call.weights else ""
    nodes = [
        OnnxNode(op_type="Transpose", inputs=(call.weights["weight"],), attributes={"perm": (1, 0)}, output=turned),
        OnnxNode(op_type="MatMul", inputs=(call.inputs[0], turned), output=product),
    ]
    bias = [OnnxNode(op_type="Add", inputs=(product, call.weights["bias"]))] if product else []
    return [*nodes, *bias]


LINEAR = Operator(
    name="linear",
    weights={"weight": True, "bias": False},
    shape=_linear_shape,
    macs=_linear_macs,
    module=_linear_module,
    onnx=_linear_onnx,
    aten=(Aten(target="linear.default", inputs=("input",), weights=_WEIGHT_AND_BIAS),),
)


def _conv1d_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    shape, weight = inputs[0], weights["weight"]
    if len(shape) != 3 or len(weight) != 3 or shape[1] % weight[1] or weight[0] % (shape[1] // weight[1]):
        raise ValueError(f"a weight of shape {weight} does not fit an input [N, C, positions] of shape {shape}")
    _check_bias(weights)
    stride, padding, dilation = (int(attributes[name]) for name in ("stride", "padding", "dilation"))  # type: ignore[arg-type]
    return (shape[0], weight[0], sliding_size(shape[2], weight[2], stride, padding, dilation))


def _conv1d_module(torch: Torch, inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Any:
    filters, _, kernel = weights["weight"]
    groups = _groups(inputs, weights)
    return torch.nn.Conv1d(inputs[0][1], filters, kernel, **attributes, groups=groups, bias="bias" in weights)


def _conv1d_onnx(call: OnnxCall) -> list[OnnxNode]:
    padding = call.attributes["padding"]
    attributes = {
        "kernel_shape": call.weight_shapes["weight"][2:],
        "strides": (call.attributes["stride"],),
        "pads": (padding, padding),
        "dilations": (call.attributes["dilation"],),
        "group": _groups(call.shapes, call.weight_shapes),
    }
    tensors = tuple(call.weights[role] for role in ("weight", "bias") if role in call.weights)
    return [OnnxNode(op_type="Conv", inputs=(call.inputs[0], *tensors), attributes=attributes)]


def _one_axis(call: Call) -> Mapping[str, Any]:
    given = {name: call.arguments.get(name) for name in ("stride", "padding", "dilation")}
    return {name: value[0] if isinstance(value, list) else value for name, value in given.items()}


CONV1D = Operator(  # efficient channel attention (Wang et al., 2020) slides it along the channels
    name="conv1d",
    attributes={"stride": Whole(low=1, default=1), "padding": Whole(default=0), "dilation": Whole(low=1, default=1)},
    weights={"weight": True, "bias": False},
    shape=_conv1d_shape,
    macs=lambda output, weights: prod(weights["weight"]) * output[2],
    module=_conv1d_module,
    onnx=_conv1d_onnx,
    mixes=lambda attributes, inputs: "a convolution slides along the channels and mixes neighbouring ones",
    aten=(
        Aten(
            target="conv1d.default",
            inputs=("input",),
            weights=_WEIGHT_AND_BIAS,
            attributes=_one_axis,
            ignored=("stride", "padding", "dilation"),
            implied={"groups": _implied_groups},
        ),
    ),
)

OPERATORS = (CONV2D, LINEAR, CONV1D)
