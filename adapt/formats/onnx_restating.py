"""ONNX nodes in aten's words: what is asked of an operator then stands once, in the operator table, for both formats.

A new operator is one new entry of RESTATED here, beside its row in the table.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from adapt.formats.onnx_layers import arithmetic, batch_norm, gemm, layer_norm, matmul, n_ary_sum, prelu, response_norm
from adapt.formats.onnx_layout import (
    concat,
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
from adapt.formats.onnx_stated import Stated, Step
from adapt.formats.onnx_windows import average_pool, convolution, max_pool

_NO_BOUND = 3e38
_SIXTH = 1 / 6


@dataclass(frozen=True, kw_only=True)
class Restating:
    """`takes` names the inputs in order, "..." any number; other attributes than these are refused by name."""

    takes: tuple[str, ...] = ("X",)
    attributes: tuple[str, ...] = ()
    steps: Callable[[Stated], list[Step]]


def _plain(target: str) -> Restating:
    return Restating(steps=lambda stated: [Step(target=target, arguments={"self": stated.value("X")})])


def _with_factor(target: str, name: str, attribute: str, default: float) -> Restating:
    """An activation with one number."""

    def steps(stated: Stated) -> list[Step]:
        return [Step(target=target, arguments={"self": stated.value("X"), name: stated.number(attribute, default)})]

    return Restating(attributes=(attribute,), steps=steps)


def _clip(stated: Stated) -> list[Step]:
    """Exporters write "no bound" as the largest float, or leave it out."""
    low, high = stated.number("min", None), stated.number("max", None)
    limits = {
        "min": None if low is None or low <= -_NO_BOUND else low,
        "max": None if high is None or high >= _NO_BOUND else high,
    }
    return [Step(target="clamp.default", arguments={"self": stated.value("X"), **limits})]


def _bound(name: str) -> Callable[[Stated], list[Step]]:
    """The larger or smaller of a value and a number."""

    def steps(stated: Stated) -> list[Step]:
        value, other = ("B", "A") if stated.is_constant("A") else ("A", "B")
        if not stated.is_constant(other):
            stated.refuse("of two computed values")
        return [Step(target="clamp.default", arguments={"self": stated.value(value), name: stated.number(other, None)})]

    return steps


def _hard_sigmoid(stated: Stated) -> list[Step]:
    alpha, beta = stated.number("alpha", 0.2), stated.number("beta", 0.5)
    if abs(alpha - _SIXTH) > 1e-5 or abs(beta - 0.5) > 1e-6:
        stated.refuse(f"with alpha = {alpha:g}, beta = {beta:g}; alpha 1/6 and beta 0.5 are supported")
    return [Step(target="hardsigmoid.default", arguments={"self": stated.value("X")})]


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
        axis = stated.number("axis", -1 if stated.opset >= 13 else 1)
        return [Step(target=target, arguments={"self": stated.value("X"), "dim": axis})]

    return Restating(attributes=("axis",), steps=steps)


def _global_average(stated: Stated) -> list[Step]:
    return [Step(target="adaptive_avg_pool2d.default", arguments={"self": stated.value("X"), "output_size": [1, 1]})]


def _reduce_mean(stated: Stated) -> list[Step]:
    axes = stated.numbers("axes")
    if not axes:
        stated.refuse("over all axes at once")
    keepdim = bool(stated.number("keepdims", 1))
    return [Step(target="mean.dim", arguments={"self": stated.value("X"), "dim": list(axes), "keepdim": keepdim})]


def _dropout(stated: Stated) -> list[Step]:
    arguments = {"input": stated.value("X"), "p": stated.number("ratio", 0.5), "train": False}
    return [Step(target="dropout.default", arguments=arguments)]


def _cast(stated: Stated) -> list[Step]:
    """Networks in half precision are adapted in float32, so a change between floats changes nothing."""
    if stated.number("to", None) not in (1, 10, 11, 16):
        stated.refuse("to other than floating point")
    return [Step(target="alias.default", arguments={"self": stated.value("X")})]


_POOL = ("kernel_shape", "strides", "pads", "dilations", "auto_pad", "ceil_mode")

RESTATED: Mapping[str, Restating] = {
    "Conv": Restating(
        takes=("X", "W", "B"),
        attributes=("kernel_shape", "strides", "pads", "dilations", "group", "auto_pad"),
        steps=convolution,
    ),
    "Gemm": Restating(takes=("A", "B", "C"), attributes=("alpha", "beta", "transA", "transB"), steps=gemm),
    "MatMul": Restating(takes=("A", "B"), steps=matmul),
    "BatchNormalization": Restating(
        takes=("X", "scale", "B", "mean", "var"),
        attributes=("epsilon", "momentum", "training_mode", "spatial"),
        steps=batch_norm,
    ),
    "LayerNormalization": Restating(
        takes=("X", "Scale", "B"), attributes=("axis", "epsilon", "stash_type"), steps=layer_norm
    ),
    "LRN": Restating(attributes=("size", "alpha", "beta", "bias"), steps=response_norm),
    "Dropout": Restating(takes=("X", "ratio", "training_mode"), attributes=("ratio", "seed"), steps=_dropout),
    "Relu": _plain("relu.default"),
    "Sigmoid": _plain("sigmoid.default"),
    "Tanh": _plain("tanh.default"),
    "HardSwish": _plain("hardswish.default"),
    "Mish": _plain("mish.default"),
    "Clip": Restating(takes=("X", "min", "max"), attributes=("min", "max"), steps=_clip),
    "Max": Restating(takes=("A", "B"), steps=_bound("min")),
    "Min": Restating(takes=("A", "B"), steps=_bound("max")),
    "HardSigmoid": Restating(attributes=("alpha", "beta"), steps=_hard_sigmoid),
    "LeakyRelu": _with_factor("leaky_relu.default", "negative_slope", "alpha", 0.01),
    "Elu": _with_factor("elu.default", "alpha", "alpha", 1.0),
    "Celu": _with_factor("celu.default", "alpha", "alpha", 1.0),
    "Selu": Restating(attributes=("alpha", "gamma"), steps=_selu),
    "Gelu": Restating(attributes=("approximate",), steps=_gelu),
    "Swish": Restating(attributes=("alpha",), steps=_swish),
    "PRelu": Restating(takes=("X", "slope"), steps=prelu),
    "Softmax": _softmax("softmax.int"),
    "LogSoftmax": _softmax("log_softmax.int"),
    "MaxPool": Restating(attributes=(*_POOL, "storage_order"), steps=max_pool),
    "AveragePool": Restating(attributes=(*_POOL, "count_include_pad"), steps=average_pool),
    "GlobalAveragePool": Restating(steps=_global_average),
    "ReduceMean": Restating(
        takes=("X", "axes"), attributes=("axes", "keepdims", "noop_with_empty_axes"), steps=_reduce_mean
    ),
    "Add": Restating(takes=("A", "B"), steps=arithmetic("add.Tensor")),
    "Sub": Restating(takes=("A", "B"), steps=arithmetic("sub.Tensor")),
    "Mul": Restating(takes=("A", "B"), steps=arithmetic("mul.Tensor")),
    "Div": Restating(takes=("A", "B"), steps=arithmetic("div.Tensor")),
    "Sum": Restating(takes=("...",), steps=n_ary_sum),
    "Flatten": Restating(attributes=("axis",), steps=flatten),
    "Reshape": Restating(takes=("X", "shape"), attributes=("allowzero",), steps=reshape),
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
    "Cast": Restating(attributes=("to", "saturate"), steps=_cast),
}
