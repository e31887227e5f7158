"""ONNX nodes in aten's words: what is asked of an operator then stands once, in the operator table, for both formats.

A new operator is one new entry of RESTATED here, beside its row in the table.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from adapt.formats.onnx_layers import arithmetic, gemm, matmul, n_ary_sum, prelu, row_product
from adapt.formats.onnx_layout import (
    as_strided,
    concat,
    expand,
    flatten,
    gather,
    pad,
    reshape,
    slice_values,
    split,
    squeeze,
    transpose,
    unsqueeze,
)
from adapt.formats.onnx_norms import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    response_norm,
    spelled_group_norm,
)
from adapt.formats.onnx_stated import PREVIOUS, Stated, Step
from adapt.formats.onnx_windows import adaptive_average, average_pool, convolution, max_pool, resize
from adapt.graph.operators.layout import TO_CHANNELS_FIRST

_NO_BOUND = 3e38
_SIXTH = 1 / 6


@dataclass(frozen=True, kw_only=True)
class Restating:
    """`takes` names the inputs in order, "..." any number; other attributes than these are refused by name.

    To one that is `elementwise` no axis is another than the next.
    """

    takes: tuple[str, ...] = ("X",)
    attributes: tuple[str, ...] = ()
    steps: Callable[[Stated], list[Step]]
    elementwise: bool = False


def _plain(target: str) -> Restating:
    return Restating(
        steps=lambda stated: [Step(target=target, arguments={"self": stated.value("X")})], elementwise=True
    )


def _with_factor(target: str, name: str, attribute: str, default: float) -> Restating:
    """An activation with one number."""

    def steps(stated: Stated) -> list[Step]:
        return [Step(target=target, arguments={"self": stated.value("X"), name: stated.number(attribute, default)})]

    return Restating(attributes=(attribute,), steps=steps, elementwise=True)


def _clip(stated: Stated) -> list[Step]:
    """Exporters write "no bound" as the largest float, or leave it out."""
    low, high = stated.number("min", None), stated.number("max", None)
    limits = {
        "min": None if low is None or low <= -_NO_BOUND else low,
        "max": None if high is None or high >= _NO_BOUND else high,
    }
    return [Step(target="clamp.default", arguments={"self": stated.value("X"), **limits})]


def _bound(name: str, target: str) -> Callable[[Stated], list[Step]]:
    """The larger or smaller of two values, or of a value and a number."""

    def steps(stated: Stated) -> list[Step]:
        value, other = ("B", "A") if stated.is_constant("A") else ("A", "B")
        if stated.is_constant(other):
            arguments = {"self": stated.value(value), name: stated.number(other, None)}
            return [Step(target="clamp.default", arguments=arguments)]
        return [Step(target=target, arguments={"self": stated.value(value), "other": stated.value(other)})]

    return steps


def _power(stated: Stated) -> list[Step]:
    exponent = stated.number("exponent", None)
    return [Step(target="pow.Tensor_Scalar", arguments={"self": stated.value("X"), "exponent": exponent})]


def _hard_sigmoid(stated: Stated) -> list[Step]:
    """clip(alpha * x + beta, 0, 1), torch's own or with the numbers of another library."""
    x, alpha, beta = stated.value("X"), stated.number("alpha", 0.2), stated.number("beta", 0.5)
    if abs(alpha - _SIXTH) < 1e-5 and abs(beta - 0.5) < 1e-6:
        return [Step(target="hardsigmoid.default", arguments={"self": x})]
    return [
        Step(target="mul.Tensor", arguments={"self": x, "other": float(alpha)}),
        Step(target="add.Tensor", arguments={"self": PREVIOUS, "other": float(beta)}),
        Step(target="clamp.default", arguments={"self": PREVIOUS, "min": 0.0, "max": 1.0}),
    ]


def _selu(stated: Stated) -> list[Step]:
    alpha, gamma = stated.number("alpha", 1.67326319), stated.number("gamma", 1.05070102)
    if not (math.isclose(alpha, 1.67326324, rel_tol=1e-5) and math.isclose(gamma, 1.05070098, rel_tol=1e-5)):
        stated.refuse(f"with alpha = {alpha:g}, gamma = {gamma:g}")
    return [Step(target="selu.default", arguments={"self": stated.value("X")})]


def _gelu(stated: Stated) -> list[Step]:
    approximate = stated.node.attributes.get("approximate", "none")
    return [Step(target="gelu.default", arguments={"self": stated.value("X"), "approximate": approximate})]


def _swish(stated: Stated) -> list[Step]:
    if stated.number("alpha", 1.0) != 1:
        stated.refuse(f"with alpha = {stated.number('alpha', 1.0):g}; 1 is supported")
    return [Step(target="silu.default", arguments={"self": stated.value("X")})]


def _softmax(target: str) -> Restating:
    def steps(stated: Stated) -> list[Step]:
        shape = stated.shape("X")
        axis = stated.number("axis", -1 if stated.opset >= 13 else 1) % len(shape)
        if stated.opset < 13 and math.prod(shape[axis + 1 :]) > 1:
            stated.refuse(f"over all axes of {list(shape)} from {axis} on at once, as before opset 13")
        return [Step(target=target, arguments={"self": stated.value("X"), "dim": axis})]

    return Restating(attributes=("axis",), steps=steps)


def _global_average(stated: Stated) -> list[Step]:
    return [Step(target="adaptive_avg_pool2d.default", arguments={"self": stated.value("X"), "output_size": [1, 1]})]


def _global_maximum(stated: Stated) -> list[Step]:
    return [Step(target="amax.default", arguments={"self": stated.value("X"), "dim": [2, 3], "keepdim": True})]


def _reduction(target: str) -> Restating:
    def steps(stated: Stated) -> list[Step]:
        x, axes, rank = stated.value("X"), stated.numbers("axes"), len(stated.shape("X"))
        if not axes:
            stated.refuse("over all axes at once")
        keepdim = bool(stated.number("keepdims", 1))
        if rank == 4 and not keepdim and sorted(axis % rank for axis in axes) == [1, 2]:  # of [N, H, W, C]
            turn = Step(target="permute.default", arguments={"self": x, "dims": list(TO_CHANNELS_FIRST)})
            return [turn, Step(target=target, arguments={"self": PREVIOUS, "dim": [2, 3], "keepdim": False})]
        return [Step(target=target, arguments={"self": x, "dim": list(axes), "keepdim": keepdim})]

    return Restating(takes=("X", "axes"), attributes=("axes", "keepdims", "noop_with_empty_axes"), steps=steps)


def _depth_to_space(stated: Stated) -> list[Step]:
    if stated.node.attributes.get("mode", "DCR") != "CRD":
        stated.refuse('with mode DCR; "CRD", the order of torch\'s pixel shuffle, is supported')
    arguments = {"self": stated.value("X"), "upscale_factor": stated.number("blocksize", None)}
    return [Step(target="pixel_shuffle.default", arguments=arguments)]


def _dropout(stated: Stated) -> list[Step]:
    arguments = {"input": stated.value("X"), "p": stated.number("ratio", 0.5), "train": False}
    return [Step(target="dropout.default", arguments=arguments)]


def _cast(stated: Stated) -> list[Step]:
    """Networks in half precision are adapted in float32, so a change between floats changes nothing."""
    if stated.number("to", None) not in (1, 10, 11, 16):
        stated.refuse("to other than floating point")
    return [Step(target="alias.default", arguments={"self": stated.value("X")})]


_STATISTICS = {
    "Mean": "mean.dim",
    "Sum": "sum.dim_IntList",
    "Max": "amax.default",
    "Min": "amin.default",
    "L2": "linalg_vector_norm.default",
    "LogSumExp": "logsumexp.default",
}
_RESIZED = (
    *("mode", "coordinate_transformation_mode", "nearest_mode", "cubic_coeff_a", "scales"),
    *("antialias", "exclude_outside", "extrapolation_value", "keep_aspect_ratio_policy"),
)
_POOL = ("kernel_shape", "strides", "pads", "dilations", "auto_pad", "ceil_mode")

RESTATED: Mapping[str, Restating] = {
    "Conv": Restating(
        takes=("X", "W", "B"),
        attributes=("kernel_shape", "strides", "pads", "dilations", "group", "auto_pad"),
        steps=convolution,
    ),
    "Gemm": Restating(takes=("A", "B", "C"), attributes=("alpha", "beta", "transA", "transB"), steps=gemm),
    "row product": Restating(
        takes=("A", "shape", "B", "C"), attributes=("alpha", "beta", "transA", "transB"), steps=row_product
    ),
    "MatMul": Restating(takes=("A", "B"), steps=matmul),
    "BatchNormalization": Restating(
        takes=("X", "scale", "B", "mean", "var"),
        attributes=("epsilon", "momentum", "training_mode", "spatial"),
        steps=batch_norm,
    ),
    "LayerNormalization": Restating(
        takes=("X", "Scale", "B"), attributes=("axis", "epsilon", "stash_type"), steps=layer_norm
    ),
    "GroupNormalization": Restating(
        takes=("X", "scale", "B"), attributes=("num_groups", "epsilon", "stash_type"), steps=group_norm
    ),
    "group norm": Restating(
        takes=("X", "shape", "scale", "B"), attributes=("num_groups", "epsilon"), steps=spelled_group_norm
    ),
    "InstanceNormalization": Restating(takes=("X", "scale", "B"), attributes=("epsilon",), steps=instance_norm),
    "LRN": Restating(attributes=("size", "alpha", "beta", "bias"), steps=response_norm),
    "Dropout": Restating(
        takes=("X", "ratio", "training_mode"), attributes=("ratio", "seed"), steps=_dropout, elementwise=True
    ),
    "Relu": _plain("relu.default"),
    "Abs": _plain("abs.default"),
    "Sqrt": _plain("sqrt.default"),
    "Exp": _plain("exp.default"),
    "Erf": _plain("erf.default"),
    "Neg": _plain("neg.default"),
    "Log": _plain("log.default"),
    "Softplus": _plain("softplus.default"),
    "Softsign": _plain("softsign.default"),
    "Reciprocal": _plain("reciprocal.default"),
    "Pow": Restating(takes=("X", "exponent"), steps=_power, elementwise=True),
    "Sigmoid": _plain("sigmoid.default"),
    "Tanh": _plain("tanh.default"),
    "HardSwish": _plain("hardswish.default"),
    "Mish": _plain("mish.default"),
    "Clip": Restating(takes=("X", "min", "max"), attributes=("min", "max"), steps=_clip, elementwise=True),
    "Max": Restating(takes=("A", "B"), steps=_bound("min", "maximum.default"), elementwise=True),
    "Min": Restating(takes=("A", "B"), steps=_bound("max", "minimum.default"), elementwise=True),
    "HardSigmoid": Restating(attributes=("alpha", "beta"), steps=_hard_sigmoid, elementwise=True),
    "LeakyRelu": _with_factor("leaky_relu.default", "negative_slope", "alpha", 0.01),
    "Elu": _with_factor("elu.default", "alpha", "alpha", 1.0),
    "Celu": _with_factor("celu.default", "alpha", "alpha", 1.0),
    "Selu": Restating(attributes=("alpha", "gamma"), steps=_selu, elementwise=True),
    "Gelu": Restating(attributes=("approximate",), steps=_gelu, elementwise=True),
    "Swish": Restating(attributes=("alpha",), steps=_swish, elementwise=True),
    "PRelu": Restating(takes=("X", "slope"), steps=prelu, elementwise=True),
    "Softmax": _softmax("softmax.int"),
    "LogSoftmax": _softmax("log_softmax.int"),
    "MaxPool": Restating(attributes=(*_POOL, "storage_order"), steps=max_pool),
    "AveragePool": Restating(attributes=(*_POOL, "count_include_pad"), steps=average_pool),
    "GlobalAveragePool": Restating(steps=_global_average),
    "adaptive average pool": Restating(attributes=("image", "output_size"), steps=adaptive_average),
    "GlobalMaxPool": Restating(steps=_global_maximum),
    "DepthToSpace": Restating(attributes=("blocksize", "mode"), steps=_depth_to_space),
    **{f"Reduce{name}": _reduction(target) for name, target in _STATISTICS.items()},
    "Add": Restating(takes=("A", "B"), steps=arithmetic("add.Tensor"), elementwise=True),
    "Sub": Restating(takes=("A", "B"), steps=arithmetic("sub.Tensor"), elementwise=True),
    "Mul": Restating(takes=("A", "B"), steps=arithmetic("mul.Tensor"), elementwise=True),
    "Div": Restating(takes=("A", "B"), steps=arithmetic("div.Tensor"), elementwise=True),
    "Sum": Restating(takes=("...",), steps=n_ary_sum, elementwise=True),
    "Flatten": Restating(attributes=("axis",), steps=flatten),
    "Reshape": Restating(takes=("X", "shape"), attributes=("allowzero",), steps=reshape),
    "as strided": Restating(takes=("X", "indices"), steps=as_strided),
    "Expand": Restating(takes=("X", "shape"), steps=expand),
    "Resize": Restating(takes=("X", "roi", "scales", "sizes"), attributes=_RESIZED, steps=resize),
    "Upsample": Restating(takes=("X", "scales"), attributes=_RESIZED, steps=resize),
    "Squeeze": Restating(takes=("X", "axes"), attributes=("axes",), steps=squeeze),
    "Unsqueeze": Restating(takes=("X", "axes"), attributes=("axes",), steps=unsqueeze),
    "Transpose": Restating(attributes=("perm",), steps=transpose),
    "Concat": Restating(takes=("...",), attributes=("axis",), steps=concat),
    "Split": Restating(takes=("X", "split"), attributes=("axis", "split", "num_outputs"), steps=split),
    "Slice": Restating(
        takes=("X", "starts", "ends", "axes", "steps"), attributes=("starts", "ends", "axes"), steps=slice_values
    ),
    "Gather": Restating(takes=("X", "indices"), attributes=("axis",), steps=gather),
    "Pad": Restating(takes=("X", "pads", "value", "axes"), attributes=("mode", "pads", "value"), steps=pad),
    "Identity": _plain("alias.default"),
    "Cast": Restating(attributes=("to", "saturate"), steps=_cast, elementwise=True),
}

ELEMENTWISE = frozenset(name for name, row in RESTATED.items() if row.elementwise)
