"""Tensors out of a stranger's bytes: shape, stride and content are checked before anybody computes with them."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapt.errors import NetworkRefused
from adapt.graph.network import Graph, Shape

MAX_RANK = 4
MAX_SIZE = 1 << 24
MAX_ELEMENTS = 1 << 31


def check_shape(sizes: Sequence[Any], where: str) -> Shape:
    """Sizes as a shape. Raises NetworkRefused for what is no integer from 1 to MAX_SIZE, or too many of them."""
    if len(sizes) > MAX_RANK or not all(type(size) is int and 1 <= size <= MAX_SIZE for size in sizes):
        raise NetworkRefused(
            where, f"the shape {str(list(sizes))[:80]} must have at most {MAX_RANK} sizes, each from 1 to {MAX_SIZE}"
        )
    if prod(sizes) > MAX_ELEMENTS:
        raise NetworkRefused(where, f"the shape {list(sizes)} has more than {MAX_ELEMENTS} elements")
    return tuple(sizes)


def strided(flat: NDArray[Any], shape: Shape, strides: Sequence[int], offset: int, where: str) -> NDArray[Any]:
    """The tensor that lies in `flat` with these strides [elements], contiguous; a copy only where it has to be.

    Raises NetworkRefused when an element would lie outside of `flat`, or two would share one place.
    """
    if len(strides) != len(shape) or not all(type(s) is int and 0 <= s <= flat.size for s in (*strides, offset)):
        raise NetworkRefused(where, "the strides do not fit the shape")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if last >= flat.size:
        raise NetworkRefused(where, f"element {last} lies outside of the {flat.size} that the file holds")
    reach = 0
    for stride, size in sorted((s, n) for s, n in zip(strides, shape, strict=True) if n > 1):
        if stride <= reach:
            raise NetworkRefused(where, "the strides make elements share their place")
        reach += (size - 1) * stride
    steps = [stride * flat.itemsize for stride in strides]
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(flat[offset:], shape, steps)).reshape(shape)


def as_float32(tensor: NDArray[Any], where: str) -> NDArray[np.float32]:
    """The values in float32. Raises NetworkRefused when one is, or becomes, NaN or infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        converted = tensor.astype(np.float32, copy=False)
    _check_finite(converted, where)
    return converted


def _check_finite(tensor: NDArray[np.float32], where: str) -> None:
    """By the extremes, which NaN spoils too: np.isfinite would write as many flags as there are values."""
    if tensor.size and not (np.isfinite(tensor.min()) and np.isfinite(tensor.max())):
        raise NetworkRefused(where, "holds NaN or infinite values")


def bfloat16_as_float32(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """bfloat16, which numpy lacks, is the upper half of a float32."""
    wide = bits.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def check_values(graph: Graph, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Raises NetworkRefused for a tensor of the wrong type, NaN or infinite values, a negative variance or counter."""
    for node in graph.nodes:
        for role, name in node.weights.items():
            tensor = tensors[name]
            wanted = np.int64 if role == "num_batches_tracked" else np.float32
            if tensor.dtype != wanted:
                raise NetworkRefused(name, f"holds {tensor.dtype}, {np.dtype(wanted)} is needed for a {role}")
            if wanted is np.float32:
                _check_finite(tensor, name)
            if role in ("running_var", "num_batches_tracked") and tensor.size and tensor.min() < 0:
                raise NetworkRefused(name, f"{role} holds a negative value")
