"""Feature maps made larger or smaller: the upsampling between the resolutions of multi-branch networks."""

from collections.abc import Callable, Mapping, Sequence
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
    Pair,
    Torch,
    WeightShapes,
)
from adapt.graph.operators.pooling import image_shape


def _shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    size: Any = attributes["size"]
    return (*image_shape(inputs[0])[:2], *size)


def _size(call: Call) -> list[int]:
    """As `output_size` says or, where that is left out, the image's size times `scale_factors`, rounded down."""
    size, factors = call.arguments.get("output_size"), call.arguments.get("scale_factors")
    if size is None and isinstance(factors, list) and len(factors) == 2:
        size = [int(pixels * factor) for pixels, factor in zip(call.inputs[0][2:], factors, strict=True)]
    if size is None:
        raise ValueError("has neither a fixed size nor two factors")
    return list(size)


def _exact(call: Call) -> bool:
    """Whether torch samples by the ratio of the sizes: a factor that does not give a whole size is used as it is."""
    factors = call.arguments.get("scale_factors") or [call.arguments.get(name) for name in ("scales_h", "scales_w")]
    sizes = zip(call.inputs[0][2:], _size(call), factors, strict=False)
    return all(factor is None or pixels * factor == wanted for pixels, wanted, factor in sizes)


def _reading(target: str, mode: str) -> Aten:
    def attributes(call: Call) -> Mapping[str, Any]:
        return {"size": _size(call), "mode": mode, "align_corners": call.arguments.get("align_corners")}

    names = ("output_size", "scale_factors", "scales_h", "scales_w", "align_corners")
    return Aten(
        target=target,
        inputs=("input" if target.endswith(".vec") else "self",),
        when=_exact,
        attributes=attributes,
        ignored=names,
    )


def _function(torch: Torch, attributes: Attributes) -> Callable[..., Any]:
    given = {"size": attributes["size"], "mode": attributes["mode"]}
    if attributes["mode"] == "bilinear":
        given["align_corners"] = attributes["align_corners"]
    return lambda x: torch.nn.functional.interpolate(x, **given)


def _onnx(call: OnnxCall) -> list[OnnxNode]:
    height, width = call.shapes[0][2:]
    size: Any = call.attributes["size"]
    nearest = call.attributes["mode"] == "nearest"
    if nearest and (size[0] % height or size[1] % width):
        return _picked_onnx(call)
    # the batch is dynamic, so the sizes cannot be written; whole factors, and a shade more than the others, are exact
    scales = [
        factor if factor == int(factor) else factor * (1 + 1e-7) for factor in (size[0] / height, size[1] / width)
    ]
    if nearest:
        attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        how = "align_corners" if call.attributes["align_corners"] else "half_pixel"
        attributes = {"mode": "linear", "coordinate_transformation_mode": how}
    factors = call.constant("scales", np.array([1, 1, *scales], dtype=np.float32))
    return [OnnxNode(op_type="Resize", inputs=(*call.inputs, "", factors), attributes=attributes)]


def nearest_places(old: int, new: int) -> list[int]:
    """Where each of `new` pixels comes from along an axis of `old`, by torch's own arithmetic in float32."""
    places = np.floor(np.arange(new, dtype=np.float32) * np.float32(old / new))
    return [int(place) for place in np.minimum(places, old - 1)]


def _picked_onnx(call: OnnxCall) -> list[OnnxNode]:
    """Runtimes round in ways of their own: the rows and columns to take are written out."""
    size: Any = call.attributes["size"]
    rows, columns = (
        call.constant(name, np.array(nearest_places(old, new), dtype=np.int64))
        for name, old, new in zip(("rows", "columns"), call.shapes[0][2:], size, strict=True)
    )
    picked = f"{call.name}/rows_picked"
    return [
        OnnxNode(op_type="Gather", inputs=(*call.inputs, rows), attributes={"axis": 2}, output=picked),
        OnnxNode(op_type="Gather", inputs=(picked, columns), attributes={"axis": 3}),
    ]


OPERATORS = (
    Operator(
        name="resize",
        attributes={
            "size": Pair(low=1),
            "mode": OneOf(words=("nearest", "bilinear"), default="nearest"),
            "align_corners": Flag(default=False),
        },
        shape=_shape,
        function=_function,
        onnx=_onnx,
        aten=(
            _reading("upsample_nearest2d.vec", "nearest"),
            _reading("upsample_nearest2d.default", "nearest"),
            _reading("upsample_bilinear2d.vec", "bilinear"),
            _reading("upsample_bilinear2d.default", "bilinear"),
        ),
    ),
)
