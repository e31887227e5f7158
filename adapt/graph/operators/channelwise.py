"""Trained numbers beside the convolutions: PReLU, layer scale, position embeddings, the power of a pooling."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from adapt.graph.network import Shape
from adapt.graph.operators.operator import (
    Aten,
    Attributes,
    Flag,
    OneOf,
    OnnxCall,
    OnnxNode,
    Operator,
    Torch,
    WeightShapes,
    with_in_place,
)


def channel_axis(weight: Shape, shape: Shape) -> int | None:
    """Which axis of a value of `shape` a broadcast `weight` has its numbers along; None where that is not one axis."""
    if len(weight) > len(shape):
        return None
    aligned = (1,) * (len(shape) - len(weight)) + tuple(weight)
    axes = [axis for axis, size in enumerate(aligned) if size != 1]
    if len(axes) > 1 or any(aligned[axis] != shape[axis] or axis == 0 for axis in axes):
        return None
    return axes[0] if axes else len(shape) - 1 if len(weight) == 1 else 1


def _prelu_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    if len(inputs[0]) < 2 or weights["weight"] not in ((1,), inputs[0][1:2]):
        raise ValueError(f"a weight of shape {weights['weight']} does not fit {inputs[0]}")
    return inputs[0]


def _prelu_onnx(call: OnnxCall) -> list[OnnxNode]:
    """ONNX aligns the slope from the last axis, torch along the channels."""
    slope = call.weights["weight"]
    if call.weight_shapes["weight"] == (1,) or len(call.shapes[0]) == 2:
        return [OnnxNode(op_type="PRelu", inputs=(*call.inputs, slope))]
    aligned = f"{call.name}/aligned"
    axes = call.constant("axes", np.array(range(1, len(call.shapes[0]) - 1), dtype=np.int64))
    return [
        OnnxNode(op_type="Unsqueeze", inputs=(slope, axes), output=aligned),
        OnnxNode(op_type="PRelu", inputs=(*call.inputs, aligned)),
    ]


def _scale_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    weight, shape = weights["weight"], inputs[0]
    aligned = (1,) * (len(shape) - len(weight)) + tuple(weight)
    fits = len(aligned) == len(shape) and all(own in (1, size) for own, size in zip(aligned, shape, strict=True))
    if not fits or aligned[0] != 1:
        raise ValueError(f"a weight of shape {weight} does not spread over {shape}")
    return shape


_HOW = {"mul": "Mul", "div": "Div", "add": "Add", "sub": "Sub", "pow": "Pow"}


def _scale_module(torch: Torch, inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Any:
    combine = getattr(torch, str(attributes["how"]))

    class Scale(torch.nn.Module):  # type: ignore[misc]  # torch is known at run time only
        """x * weight, the layer scale of Touvron et al. 2021, or another operation; buffers are not trained."""

        def __init__(self) -> None:
            super().__init__()
            start = torch.ones(weights["weight"])
            if attributes["trained"]:
                self.weight = torch.nn.Parameter(start)
            else:
                self.register_buffer("weight", start)

        def forward(self, x: Any) -> Any:
            return combine(x, self.weight)

    return Scale()


def _combined(how: str, weight: str, value: str, overload: str = "Tensor") -> Aten:
    return Aten(
        target=f"{how}.{overload}",
        inputs=(value,),
        weights=(weight,),
        roles={weight: "weight"},
        when=lambda call: len(call.inputs) == 1 and len(call.weights) == 1,
        attributes=lambda call: {"how": how, "trained": weight not in call.buffers},
        fixed={"alpha": (1, 1.0)},
    )


OPERATORS = (
    Operator(
        name="prelu",
        weights={"weight": True},
        shape=_prelu_shape,
        module=lambda torch, inputs, attributes, weights: torch.nn.PReLU(weights["weight"][0]),
        onnx=_prelu_onnx,
        aten=(Aten(target="prelu.default", weights=("weight",)),),
    ),
    Operator(
        name="scale",
        attributes={"how": OneOf(words=tuple(_HOW), default="mul"), "trained": Flag(default=True)},
        weights={"weight": True},
        shape=_scale_shape,
        module=_scale_module,
        onnx=lambda call: [
            OnnxNode(op_type=_HOW[str(call.attributes["how"])], inputs=(*call.inputs, call.weights["weight"]))
        ],
        aten=(
            *with_in_place(*(_combined(how, "other", "self") for how in ("mul", "div", "add", "sub"))),
            _combined("pow", "exponent", "self", "Tensor_Tensor"),
            *(_combined(how, "self", "other") for how in ("mul", "add")),
        ),
    ),
)
