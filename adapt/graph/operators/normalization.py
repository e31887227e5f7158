"""Normalisations and dropout."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from adapt.graph.network import Shape
from adapt.graph.operators.operator import (
    Aten,
    Attributes,
    Call,
    OnnxCall,
    OnnxNode,
    Operator,
    Real,
    Torch,
    WeightShapes,
    Whole,
    same_shape,
)

_FAR = 1e6
_STATISTICS = ("weight", "bias", "running_mean", "running_var")


def _batch_norm_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    shape = inputs[0]
    if len(shape) not in (2, 4):
        raise ValueError(f"needs an input [N, C, H, W] or [N, C], has {shape}")
    for role in _STATISTICS:
        if weights.get(role, (shape[1],)) != (shape[1],):
            raise ValueError(f"{role} has shape {weights[role]}, the input {shape[1]} channels")
    if ("weight" in weights) != ("bias" in weights):
        raise ValueError("has only one of weight and bias")
    if weights.get("num_batches_tracked", ()) != ():
        raise ValueError("num_batches_tracked must be a single number")
    return shape


def _batch_norm_module(torch: Torch, inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Any:
    kind = torch.nn.BatchNorm2d if len(inputs[0]) == 4 else torch.nn.BatchNorm1d
    module = kind(inputs[0][1], eps=attributes["eps"], momentum=attributes["momentum"], affine="weight" in weights)
    if "num_batches_tracked" not in weights:
        module.num_batches_tracked = None  # the original had no counter, so the state_dict must not have one
    return module


def _batch_norm_onnx(call: OnnxCall) -> list[OnnxNode]:
    channels = call.shapes[0][1]
    tensors = [
        call.weights[role] if role in call.weights else call.constant(role, np.full(channels, default, np.float32))
        for role, default in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1))
    ]
    return [
        OnnxNode(
            op_type="BatchNormalization",
            inputs=(call.inputs[0], *tensors),
            attributes={"epsilon": call.attributes["eps"]},
        )
    ]


BATCH_NORM = Operator(
    name="batch_norm",
    attributes={"eps": Real(low=1e-12, high=1.0, default=1e-5), "momentum": Real(low=0.0, high=1.0, default=0.1)},
    weights={"weight": False, "bias": False, "running_mean": True, "running_var": True, "num_batches_tracked": False},
    shape=_batch_norm_shape,
    module=_batch_norm_module,
    onnx=_batch_norm_onnx,
    aten=(
        Aten(
            target="batch_norm.default",
            inputs=("input",),
            weights=_STATISTICS,
            ignored=("training", "cudnn_enabled"),  # our module follows train() and eval()
        ),
    ),
)


def _dropout_module(torch: Torch, inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Any:
    return torch.nn.Dropout(attributes["p"])


DROPOUT = Operator(
    name="dropout",
    attributes={"p": Real(low=0.0, high=1.0, default=0.5)},
    shape=same_shape,
    allocates=False,
    module=_dropout_module,
    onnx=lambda call: [OnnxNode(op_type="Identity", inputs=call.inputs)],
    aten=(
        Aten(target="dropout.default", inputs=("input",), ignored=("train",), alias=True),
        Aten(target="dropout_.default", ignored=("train",), in_place=True),
    ),
)


def _whole_channels_module(torch: Torch, inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Any:
    return torch.nn.Dropout2d(attributes["p"]) if len(inputs[0]) == 4 else torch.nn.Dropout(attributes["p"])


FEATURE_DROPOUT = Operator(  # Dropout2d
    name="feature_dropout",
    attributes={"p": Real(low=0.0, high=1.0, default=0.5)},
    shape=same_shape,
    allocates=False,
    module=_whole_channels_module,
    onnx=lambda call: [OnnxNode(op_type="Identity", inputs=call.inputs)],
    aten=(
        Aten(target="feature_dropout.default", inputs=("input",), ignored=("train",), alias=True),
        Aten(target="feature_dropout_.default", ignored=("train",), in_place=True),
    ),
)


def _layer_norm_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    shape = inputs[0]
    for role, stated in weights.items():
        if len(shape) < 2 or stated != shape[-1:]:
            raise ValueError(f"{role} has shape {stated}, the input {shape}")
    return shape


def _layer_norm_module(torch: Torch, inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Any:
    return torch.nn.LayerNorm(inputs[0][-1], eps=attributes["eps"], bias="bias" in weights)


def _layer_norm_onnx(call: OnnxCall) -> list[OnnxNode]:
    tensors = tuple(call.weights[role] for role in ("weight", "bias") if role in call.weights)
    attributes = {"axis": -1, "epsilon": call.attributes["eps"]}
    return [OnnxNode(op_type="LayerNormalization", inputs=(call.inputs[0], *tensors), attributes=attributes)]


def _over_last(call: Call) -> bool:
    return call.arguments.get("normalized_shape") == list(call.inputs[0][-1:])


LAYER_NORM = Operator(
    name="layer_norm",
    attributes={"eps": Real(low=1e-12, high=1.0, default=1e-5)},
    weights={"weight": True, "bias": False},
    shape=_layer_norm_shape,
    module=_layer_norm_module,
    onnx=_layer_norm_onnx,
    mixes=lambda attributes, inputs: "a layer norm takes its mean over all of these channels together",
    aten=(
        Aten(
            target="layer_norm.default",
            inputs=("input",),
            weights=("weight", "bias"),
            when=_over_last,
            ignored=("normalized_shape", "cudnn_enable"),
        ),
    ),
)


def _response_norm_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    if len(inputs[0]) != 4:
        raise ValueError(f"needs an input [N, C, H, W], has {inputs[0]}")
    return inputs[0]


def _response_norm_onnx(call: OnnxCall) -> list[OnnxNode]:
    given = call.attributes
    attributes = {"size": given["size"], "alpha": given["alpha"], "beta": given["beta"], "bias": given["k"]}
    return [OnnxNode(op_type="LRN", inputs=call.inputs, attributes=attributes)]


LOCAL_RESPONSE_NORM = Operator(  # torch.export writes it as ten nodes: adapt/graph/response_norm.py
    name="local_response_norm",
    attributes={
        "size": Whole(low=1),
        "alpha": Real(low=-_FAR, high=_FAR),
        "beta": Real(low=-_FAR, high=_FAR),
        "k": Real(low=-_FAR, high=_FAR),
    },
    shape=_response_norm_shape,
    function=lambda torch, attributes: lambda x: torch.nn.functional.local_response_norm(x, **attributes),
    onnx=_response_norm_onnx,
    mixes=lambda attributes, inputs: "a local response norm scales each of these channels by its neighbours",
    aten=(),
)

OPERATORS = (BATCH_NORM, DROPOUT, FEATURE_DROPOUT, LAYER_NORM, LOCAL_RESPONSE_NORM)
