"""Pooling over windows and over the whole image."""

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


def _image(shape: Shape) -> Shape:
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


def _pool_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    batch, channels, *sizes = _image(inputs[0])
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


def _pool_attributes(call: Call) -> Mapping[str, Any]:
    """A stride that is left out is the kernel's size."""
    given = {name: value for name, value in call.arguments.items() if name in _POOL or name in _POOL_EXTRA}
    return {**given, "stride": given.get("stride") or given.get("kernel_size")}


_POOL: dict[str, Field] = {
    "kernel_size": Pair(low=1),
    "stride": Pair(low=1),
    "padding": Pair(low=0, default=(0, 0)),
    "ceil_mode": Flag(default=False),
}
_POOL_EXTRA: dict[str, Field] = {"dilation": Pair(low=1, default=(1, 1)), "count_include_pad": Flag(default=True)}


def _onnx_pool_attributes(call: OnnxCall) -> dict[str, Any]:
    padding: Any = call.attributes["padding"]
    return {
        "kernel_shape": call.attributes["kernel_size"],
        "strides": call.attributes["stride"],
        "pads": (*padding, *padding),
        "ceil_mode": int(bool(call.attributes["ceil_mode"])),
    }


def _max_pool_onnx(call: OnnxCall) -> list[OnnxNode]:
    attributes = {**_onnx_pool_attributes(call), "dilations": call.attributes["dilation"]}
    return [OnnxNode(op_type="MaxPool", inputs=call.inputs, attributes=attributes)]


def _average_pool_onnx(call: OnnxCall) -> list[OnnxNode]:
    include = {"count_include_pad": int(bool(call.attributes["count_include_pad"]))}
    return [OnnxNode(op_type="AveragePool", inputs=call.inputs, attributes={**_onnx_pool_attributes(call), **include})]


def _average_pool_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    if attributes["ceil_mode"] and attributes["padding"] != (0, 0):
        raise ValueError("ceil_mode together with padding is counted differently by the runtimes")
    return _pool_shape(inputs, attributes, weights)


def _adaptive_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    batch, channels, height, width = _image(inputs[0])
    size: Any = attributes["output_size"]
    rows, columns = size
    if height % rows or width % columns:
        raise ValueError(f"an output of {(rows, columns)} does not divide an input of {(height, width)} evenly")
    return (batch, channels, rows, columns)


def _adaptive_onnx(call: OnnxCall) -> list[OnnxNode]:
    size: Any = call.attributes["output_size"]
    if size == (1, 1):
        return [OnnxNode(op_type="GlobalAveragePool", inputs=call.inputs)]
    window = (call.shapes[0][2] // size[0], call.shapes[0][3] // size[1])
    return [OnnxNode(op_type="AveragePool", inputs=call.inputs, attributes={"kernel_shape": window, "strides": window})]


def _mean_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    batch, channels, *_ = _image(inputs[0])
    return (batch, channels, 1, 1) if attributes["keepdim"] else (batch, channels)


def _over_image(call: Call) -> bool:
    dims = call.arguments.get("dim")
    return len(call.inputs[0]) == 4 and isinstance(dims, list) and sorted(d % 4 for d in dims) == [2, 3]


def _mean_onnx(call: OnnxCall) -> list[OnnxNode]:
    if call.attributes["keepdim"]:
        return [OnnxNode(op_type="GlobalAveragePool", inputs=call.inputs)]
    pooled = f"{call.name}/pool"
    return [
        OnnxNode(op_type="GlobalAveragePool", inputs=call.inputs, output=pooled),
        OnnxNode(op_type="Flatten", inputs=(pooled,), attributes={"axis": 1}),
    ]


def _average_pool_function(torch: Torch, attributes: Attributes) -> Any:
    return lambda x: torch.nn.functional.avg_pool2d(x, **attributes)


OPERATORS = (
    Operator(
        name="max_pool2d",
        attributes={**_POOL, "dilation": _POOL_EXTRA["dilation"]},
        shape=_pool_shape,
        function=lambda torch, attributes: lambda x: torch.nn.functional.max_pool2d(x, **attributes),
        onnx=_max_pool_onnx,
        aten=(Aten(target="max_pool2d.default", attributes=_pool_attributes),),
    ),
    Operator(
        name="avg_pool2d",
        attributes={**_POOL, "count_include_pad": _POOL_EXTRA["count_include_pad"]},
        shape=_average_pool_shape,
        function=_average_pool_function,
        onnx=_average_pool_onnx,
        aten=(Aten(target="avg_pool2d.default", attributes=_pool_attributes, fixed={"divisor_override": (None,)}),),
    ),
    Operator(
        name="adaptive_avg_pool2d",
        attributes={"output_size": Pair(low=1)},
        shape=_adaptive_shape,
        function=lambda torch, attributes: lambda x: torch.nn.functional.adaptive_avg_pool2d(x, **attributes),
        onnx=_adaptive_onnx,
        aten=(Aten(target="adaptive_avg_pool2d.default"),),
    ),
    Operator(
        name="mean",
        attributes={"keepdim": Flag(default=False)},
        shape=_mean_shape,
        function=lambda torch, attributes: lambda x: x.mean((2, 3), keepdim=attributes["keepdim"]),
        onnx=_mean_onnx,
        aten=(Aten(target="mean.dim", when=_over_image, ignored=("dim",), fixed={"dtype": (None,)}),),
    ),
)
