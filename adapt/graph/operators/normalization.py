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
        Aten(target="_native_batch_norm_legit_no_training.default", inputs=("input",), weights=_STATISTICS),
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


ALPHA_DROPOUT = Operator(  # self-normalising networks (Klambauer et al., 2017)
    name="alpha_dropout",
    attributes={"p": Real(low=0.0, high=1.0, default=0.5)},
    shape=same_shape,
    allocates=False,
    module=lambda torch, inputs, attributes, weights: torch.nn.AlphaDropout(attributes["p"]),
    onnx=lambda call: [OnnxNode(op_type="Identity", inputs=call.inputs)],
    aten=(
        Aten(target="alpha_dropout.default", inputs=("input",), ignored=("train",), alias=True),
        Aten(target="alpha_dropout_.default", ignored=("train",), in_place=True),
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
        Aten(
            target="native_layer_norm.default",
            inputs=("input",),
            weights=("weight", "bias"),
            when=_over_last,
            ignored=("normalized_shape",),
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


LOCAL_RESPONSE_NORM = Operator(  # torch.export writes it as ten nodes: adapt/graph/patterns.py
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


def _group_norm_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    shape, groups = inputs[0], attributes["groups"]
    if len(shape) != 4 or shape[1] % groups or any(stated != shape[1:2] for stated in weights.values()):  # type: ignore[operator]
        raise ValueError(f"{groups} groups and weights {dict(weights)} do not fit an input of {shape}")
    return shape


def _group_norm_module(torch: Torch, inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Any:
    return torch.nn.GroupNorm(attributes["groups"], inputs[0][1], eps=attributes["eps"], affine="weight" in weights)


def _group_norm_onnx(call: OnnxCall) -> list[OnnxNode]:
    """Each group as one channel of an instance norm; then scale and shift."""
    groups: Any = call.attributes["groups"]
    _, channels, height, width = call.shapes[0]
    apart = call.constant("apart", np.array([0, groups, -1], dtype=np.int64))
    together = call.constant("together", np.array([0, channels, height, width], dtype=np.int64))
    one, none = call.constant("one", np.ones(groups, np.float32)), call.constant("none", np.zeros(groups, np.float32))
    names = [f"{call.name}/{step}" for step in ("split", "normalized", "scaled")]
    nodes = [
        OnnxNode(op_type="Reshape", inputs=(*call.inputs, apart), output=names[0]),
        OnnxNode(
            op_type="InstanceNormalization",
            inputs=(names[0], one, none),
            attributes={"epsilon": call.attributes["eps"]},
            output=names[1],
        ),
    ]
    if "weight" not in call.weights:
        return [*nodes, OnnxNode(op_type="Reshape", inputs=(names[1], together))]
    axes = call.constant("axes", np.array([1, 2], dtype=np.int64))
    weight, bias, joined = (f"{call.name}/{role}" for role in ("weight", "bias", "joined"))
    return [
        *nodes,
        OnnxNode(op_type="Reshape", inputs=(names[1], together), output=joined),
        OnnxNode(op_type="Unsqueeze", inputs=(call.weights["weight"], axes), output=weight),
        OnnxNode(op_type="Unsqueeze", inputs=(call.weights["bias"], axes), output=bias),
        OnnxNode(op_type="Mul", inputs=(joined, weight), output=names[2]),
        OnnxNode(op_type="Add", inputs=(names[2], bias)),
    ]


GROUP_NORM = Operator(
    name="group_norm",
    attributes={"groups": Whole(low=1), "eps": Real(low=1e-12, high=1.0, default=1e-5)},
    weights={"weight": False, "bias": False},
    shape=_group_norm_shape,
    module=_group_norm_module,
    onnx=_group_norm_onnx,
    mixes=lambda attributes, inputs: "a group norm takes its mean over several of these channels together",
    aten=(
        Aten(
            target="group_norm.default",
            inputs=("input",),
            weights=("weight", "bias"),
            when=lambda call: len(call.weights) in (0, 2),
            attributes=lambda call: {"groups": call.arguments.get("num_groups"), "eps": call.arguments.get("eps")},
            ignored=("num_groups", "cudnn_enabled"),
        ),
        Aten(
            target="native_group_norm.default",
            inputs=("input",),
            weights=("weight", "bias"),
            when=lambda call: len(call.weights) in (0, 2),
            attributes=lambda call: {"groups": call.arguments.get("group"), "eps": call.arguments.get("eps")},
            ignored=("group", "N", "C", "HxW"),
        ),
    ),
)


def _instance_norm_module(torch: Torch, inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Any:
    return torch.nn.InstanceNorm2d(inputs[0][1], eps=attributes["eps"], affine="weight" in weights)


def _instance_norm_onnx(call: OnnxCall) -> list[OnnxNode]:
    channels = call.shapes[0][1]
    scale, shift = (
        call.weights[role] if role in call.weights else call.constant(role, np.full(channels, default, np.float32))
        for role, default in (("weight", 1), ("bias", 0))
    )
    attributes = {"epsilon": call.attributes["eps"]}
    return [OnnxNode(op_type="InstanceNormalization", inputs=(*call.inputs, scale, shift), attributes=attributes)]


def _instance_norm_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    shape = inputs[0]
    if len(shape) != 4 or any(stated != shape[1:2] for stated in weights.values()):
        raise ValueError(f"weights {dict(weights)} do not fit an input of {shape}; [N, C, H, W] is needed")
    return shape


INSTANCE_NORM = Operator(
    name="instance_norm",
    attributes={"eps": Real(low=1e-12, high=1.0, default=1e-5)},
    weights={"weight": False, "bias": False},
    shape=_instance_norm_shape,
    module=_instance_norm_module,
    onnx=_instance_norm_onnx,
    aten=(
        Aten(
            target="instance_norm.default",
            inputs=("input",),
            weights=("weight", "bias"),
            when=lambda call: len(call.weights) in (0, 2),
            fixed={"use_input_stats": (True,), "running_mean": (None,), "running_var": (None,)},
            ignored=("momentum", "cudnn_enabled"),
        ),
    ),
)

OPERATORS = (
    INSTANCE_NORM,
    GROUP_NORM,
    BATCH_NORM,
    DROPOUT,
    FEATURE_DROPOUT,
    ALPHA_DROPOUT,
    LAYER_NORM,
    LOCAL_RESPONSE_NORM,
)
