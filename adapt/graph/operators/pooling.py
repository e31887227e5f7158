"""Pooling over windows: what every kind shares, and the maximum."""

from collections.abc import Mapping, Sequence
from typing import Any

from adapt.graph.network import Shape
from adapt.graph.operators.convolution import sliding_size
from adapt.graph.operators.operator import (
    Aten,
    Attributes,
    Call,
    Field,
    Flag,
    OnnxCall,
    OnnxNode,
    Operator,
    Pair,
    Torch,
    WeightShapes,
)


def image_shape(shape: Shape) -> Shape:
    if len(shape) != 4:
        raise ValueError(f"needs an input [N, C, H, W], has {shape}")
    return shape


def _window(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Positions of a pooling window; in ceil mode torch drops a last one that starts in the right padding."""
    if padding > kernel // 2:
        raise ValueError(f"padding {padding} is more than half of the kernel {kernel}")
    positions = sliding_size(size, kernel, stride, padding, dilation)
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if ceil_mode and room % stride and positions * stride < size + padding:
        return positions + 1
    return positions


def pool_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    batch, channels, *sizes = image_shape(inputs[0])
    kernel: Any = attributes["kernel_size"]
    stride: Any = attributes["stride"]
    padding: Any = attributes["padding"]
    dilation: Any = attributes.get("dilation", (1, 1))
    ceil_mode = bool(attributes["ceil_mode"])
    return (
        batch,
        channels,
        *(_window(*axis, ceil_mode) for axis in zip(sizes, kernel, stride, padding, dilation, strict=True)),
    )


def pool_attributes(call: Call) -> Mapping[str, Any]:
    """A stride that is left out is the kernel's size."""
    given = dict(call.arguments)
    return {**given, "stride": given.get("stride") or given.get("kernel_size")}


POOL: dict[str, Field] = {
    "kernel_size": Pair(low=1),
    "stride": Pair(low=1),
    "padding": Pair(low=0, default=(0, 0)),
    "ceil_mode": Flag(default=False),
}


def onnx_pool_attributes(call: OnnxCall) -> dict[str, Any]:
    padding: Any = call.attributes["padding"]
    return {
        "kernel_shape": call.attributes["kernel_size"],
        "strides": call.attributes["stride"],
        "pads": (*padding, *padding),
        "ceil_mode": int(bool(call.attributes["ceil_mode"])),
    }


def _max_pool_onnx(call: OnnxCall) -> list[OnnxNode]:
    attributes = {**onnx_pool_attributes(call), "dilations": call.attributes["dilation"]}
    return [OnnxNode(op_type="MaxPool", inputs=call.inputs, attributes=attributes)]


def _adaptive_max_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    batch, channels, *sizes = image_shape(inputs[0])
    cells: Any = attributes["output_size"]
    if any(size % count for size, count in zip(sizes, cells, strict=True)):
        raise ValueError(f"an output of {cells} does not divide an input of {sizes} evenly")
    return (batch, channels, *cells)


def _adaptive_max_onnx(call: OnnxCall) -> list[OnnxNode]:
    cells: Any = call.attributes["output_size"]
    window = (call.shapes[0][2] // cells[0], call.shapes[0][3] // cells[1])
    attributes = {"kernel_shape": window, "strides": window}
    return [OnnxNode(op_type="MaxPool", inputs=call.inputs, attributes=attributes)]


def _adaptive_max_function(torch: Torch, attributes: Attributes) -> Any:
    return lambda x: torch.nn.functional.adaptive_max_pool2d(x, attributes["output_size"])


OPERATORS = (
    Operator(
        name="max_pool2d",
        attributes={**POOL, "dilation": Pair(low=1, default=(1, 1))},
        shape=pool_shape,
        function=lambda torch, attributes: lambda x: torch.nn.functional.max_pool2d(x, **attributes),
        onnx=_max_pool_onnx,
        aten=tuple(
            Aten(target=target, attributes=pool_attributes)
            for target in ("max_pool2d.default", "max_pool2d_with_indices.default")
        ),
    ),
    Operator(
        name="adaptive_max_pool2d",
        attributes={"output_size": Pair(low=1)},
        shape=_adaptive_max_shape,
        function=_adaptive_max_function,
        onnx=_adaptive_max_onnx,
        aten=(Aten(target="adaptive_max_pool2d.default"),),
    ),
)
