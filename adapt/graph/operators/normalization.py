"""Batch norm and dropout: the operators that behave differently in training."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from adapt.graph.network import Shape
from adapt.graph.operators.operator import (
    Aten,
    Attributes,
    OnnxCall,
    OnnxNode,
    Operator,
    Real,
    Torch,
    WeightShapes,
    same_shape,
    with_in_place,
)

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
    aten=with_in_place(Aten(target="dropout.default", inputs=("input",), ignored=("train",), alias=True)),
)

OPERATORS = (BATCH_NORM, DROPOUT)
