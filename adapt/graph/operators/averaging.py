"""Averages over windows, over a given number of cells, and over the whole image."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapt.graph.network import Shape
from adapt.graph.operators.operator import (
    Aten,
    Attributes,
    Call,
    Flag,
    OnnxCall,
    OnnxNode,
    Operator,
    Pair,
    Torch,
    WeightShapes,
    Whole,
)
from adapt.graph.operators.pooling import POOL, image_shape, onnx_pool_attributes, pool_attributes, pool_shape


def _average_attributes(call: Call) -> Mapping[str, Any]:
    """A divisor of None is our 0: the window's size."""
    return {**pool_attributes(call), "divisor_override": call.arguments.get("divisor_override") or 0}


def _average_function(torch: Torch, attributes: Attributes) -> Any:
    given = {**attributes, "divisor_override": attributes["divisor_override"] or None}
    return lambda x: torch.nn.functional.avg_pool2d(x, **given)


def _average_onnx(call: OnnxCall) -> list[OnnxNode]:
    """Runtimes count a last window of ceil mode, and padding, in ways of their own: then the counts are written out."""
    padding, divisor = call.attributes["padding"], call.attributes["divisor_override"]
    if not divisor and (padding == (0, 0) or not call.attributes["ceil_mode"]):
        counted = {"count_include_pad": int(bool(call.attributes["count_include_pad"]))}
        attributes = {**onnx_pool_attributes(call), **counted}
        return [OnnxNode(op_type="AveragePool", inputs=call.inputs, attributes=attributes)]
    return _counted_average_onnx(call)


def _counted_average_onnx(call: OnnxCall) -> list[OnnxNode]:
    """Explicit padding, the plain average, and a map that turns each window's size into what torch divides by."""
    kernel: Any = call.attributes["kernel_size"]
    stride: Any = call.attributes["stride"]
    padding: Any = call.attributes["padding"]
    sizes, out = call.shapes[0][2:], pool_shape(call.shapes, call.attributes, {})[2:]
    room = [max(0, (o - 1) * s + k - n - p) for n, o, k, s, p in zip(sizes, out, kernel, stride, padding, strict=True)]
    pads = call.constant("pads", np.array([0, 0, *padding, 0, 0, *room], dtype=np.int64))
    factors = call.constant("factors", (kernel[0] * kernel[1] / _divisors(call, out))[None, None].astype(np.float32))
    padded, averaged = f"{call.name}/padded", f"{call.name}/averaged"
    attributes = {"kernel_shape": kernel, "strides": stride}
    return [
        OnnxNode(op_type="Pad", inputs=(*call.inputs, pads), output=padded),
        OnnxNode(op_type="AveragePool", inputs=(padded,), attributes=attributes, output=averaged),
        OnnxNode(op_type="Mul", inputs=(averaged, factors)),
    ]


def _divisors(call: OnnxCall, out: Shape) -> NDArray[np.float64]:
    """[H, W]: what torch divides the sum of each window by."""
    attributes: Any = call.attributes
    if attributes["divisor_override"]:
        return np.full(out, float(attributes["divisor_override"]))
    counts = [
        _counts(*axis, counted=bool(attributes["count_include_pad"]))
        for axis in zip(
            call.shapes[0][2:],
            out,
            attributes["kernel_size"],
            attributes["stride"],
            attributes["padding"],
            strict=True,
        )
    ]
    return np.outer(*counts)


def _counts(size: int, out: int, kernel: int, stride: int, padding: int, *, counted: bool) -> NDArray[np.float64]:
    """Cells of each window along one axis: all up to the right padding's end, or those of the image only."""
    starts = np.arange(out) * stride - padding
    ends = np.minimum(starts + kernel, size + padding)
    if not counted:
        starts, ends = np.maximum(starts, 0), np.minimum(ends, size)
    return np.asarray(ends - starts, dtype=np.float64)


def _adaptive_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    batch, channels, *_ = image_shape(inputs[0])
    size: Any = attributes["output_size"]
    return (batch, channels, *size)


def _output_size(call: Call) -> Mapping[str, Any]:
    """A size of None is the input's."""
    size: Any = call.arguments.get("output_size")
    if isinstance(size, list) and len(size) == 2:
        size = [given if given is not None else kept for given, kept in zip(size, call.inputs[0][2:], strict=True)]
    return {"output_size": size}


def _adaptive_onnx(call: OnnxCall) -> list[OnnxNode]:
    size: Any = call.attributes["output_size"]
    height, width = call.shapes[0][2:]
    if size == (1, 1):
        return [OnnxNode(op_type="GlobalAveragePool", inputs=call.inputs)]
    if height % size[0] == 0 and width % size[1] == 0:
        window = (height // size[0], width // size[1])
        attributes = {"kernel_shape": window, "strides": window}
        return [OnnxNode(op_type="AveragePool", inputs=call.inputs, attributes=attributes)]
    rows = call.constant("rows", cells(height, size[0]))
    columns = call.constant("columns", np.ascontiguousarray(cells(width, size[1]).T))
    narrowed = f"{call.name}/columns_averaged"
    return [
        OnnxNode(op_type="MatMul", inputs=(*call.inputs, columns), output=narrowed),
        OnnxNode(op_type="MatMul", inputs=(rows, narrowed)),
    ]


def cells(size: int, cells: int) -> NDArray[np.float32]:
    """[cells, size]: the share of each position in each cell; cells overlap where they do not divide the size."""
    shares = np.zeros((cells, size), dtype=np.float32)
    for cell in range(cells):
        start, end = cell * size // cells, -(-(cell + 1) * size // cells)
        shares[cell, start:end] = 1 / (end - start)
    return shares


def _mean_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    batch, channels, *_ = image_shape(inputs[0])
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


def _amax_onnx(call: OnnxCall) -> list[OnnxNode]:
    attributes = {"axes": (2, 3), "keepdims": int(bool(call.attributes["keepdim"]))}
    return [OnnxNode(op_type="ReduceMax", inputs=call.inputs, attributes=attributes)]


def _positions_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    if len(inputs[0]) != 3:
        raise ValueError(f"needs an input [N, C, positions], has {inputs[0]}")
    return inputs[0][:2]


def _over_positions(call: Call) -> bool:
    kept = call.arguments.get("keepdim") in (None, False)
    return kept and len(call.inputs[0]) == 3 and call.arguments.get("dim") in ([2], [-1])


def _neighbours_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    size: Any = attributes["size"]
    shape = inputs[0]
    if len(shape) != 5 or shape[2] < size:
        raise ValueError(f"a window of {size} does not fit into [N, 1, C, H, W], has {shape}")
    return (*shape[:2], shape[2] - size + 1, *shape[3:])


def _over_neighbours(call: Call) -> bool:
    """How a local response norm averages over neighbouring channels: avg_pool3d over [N, 1, C, H, W]."""
    given = call.arguments
    window: Any = given.get("kernel_size")
    return (
        isinstance(window, list)
        and len(window) == 3
        and window[1:] == [1, 1]
        and given.get("stride") in ([1, 1, 1], None, [])
        and given.get("padding") in (None, 0, [0, 0, 0])
    )


def _neighbours_onnx(call: OnnxCall) -> list[OnnxNode]:
    attributes = {"kernel_shape": (call.attributes["size"], 1, 1), "strides": (1, 1, 1)}
    return [OnnxNode(op_type="AveragePool", inputs=call.inputs, attributes=attributes)]


def _neighbours_function(torch: Torch, attributes: Attributes) -> Any:
    return lambda x: torch.nn.functional.avg_pool3d(x, (attributes["size"], 1, 1), (1, 1, 1))


OPERATORS = (
    Operator(
        name="avg_pool2d",
        attributes={**POOL, "count_include_pad": Flag(default=True), "divisor_override": Whole(default=0)},
        shape=pool_shape,
        function=_average_function,
        onnx=_average_onnx,
        aten=(Aten(target="avg_pool2d.default", attributes=_average_attributes),),
    ),
    Operator(
        name="adaptive_avg_pool2d",
        attributes={"output_size": Pair(low=1)},
        shape=_adaptive_shape,
        function=lambda torch, attributes: lambda x: torch.nn.functional.adaptive_avg_pool2d(x, **attributes),
        onnx=_adaptive_onnx,
        aten=tuple(
            Aten(target=target, attributes=_output_size)
            for target in ("adaptive_avg_pool2d.default", "_adaptive_avg_pool2d.default")
        ),
    ),
    Operator(
        name="mean",
        attributes={"keepdim": Flag(default=False)},
        shape=_mean_shape,
        function=lambda torch, attributes: lambda x: x.mean((2, 3), keepdim=attributes["keepdim"]),
        onnx=_mean_onnx,
        aten=(Aten(target="mean.dim", when=_over_image, ignored=("dim",), fixed={"dtype": (None,)}),),
    ),
    Operator(
        name="avg_pool_neighbours",
        attributes={"size": Whole(low=1)},
        shape=_neighbours_shape,
        function=_neighbours_function,
        onnx=_neighbours_onnx,
        mixes=lambda attributes, inputs: "neighbouring channels are averaged",
        aten=(
            Aten(
                target="avg_pool3d.default",
                when=_over_neighbours,
                attributes=lambda call: {"size": call.arguments["kernel_size"][0]},
                ignored=("kernel_size", "stride"),
                fixed={
                    "padding": (0, [0, 0, 0]),
                    "ceil_mode": (False,),
                    "count_include_pad": (True, False),
                    "divisor_override": (None,),
                },
            ),
        ),
    ),
    Operator(
        name="amax",
        attributes={"keepdim": Flag(default=False)},
        shape=_mean_shape,
        function=lambda torch, attributes: lambda x: x.amax((2, 3), keepdim=attributes["keepdim"]),
        onnx=_amax_onnx,
        aten=(Aten(target="amax.default", when=_over_image, ignored=("dim",)),),
    ),
    Operator(  # of a flattened image the mean, which patterns.py makes of it
        name="mean_of_positions",
        shape=_positions_shape,
        function=lambda torch, attributes: lambda x: x.mean(2),
        onnx=lambda call: [
            OnnxNode(op_type="ReduceMean", inputs=call.inputs, attributes={"axes": (2,), "keepdims": 0})
        ],
        mixes=lambda attributes, inputs: "they are averaged in a way in which channels are not followed",
        aten=(Aten(target="mean.dim", when=_over_positions, ignored=("dim", "keepdim"), fixed={"dtype": (None,)}),),
    ),
)
