"""Permutations and reshapes of a whole image: channels last and back, and whatever no other row can say."""

from collections.abc import Callable, Sequence
from math import prod
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
    WeightShapes,
    Wholes,
)
from adapt.graph.operators.reshaping import unflattened, unsqueezed, viewed

_BEFORE_ALL = -(1 << 62)
TO_CHANNELS_LAST, TO_CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def _permute_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    dims: Any = attributes["dims"]
    if sorted(dims) != list(range(len(inputs[0]))) or dims[0] != 0:
        raise ValueError(f"{dims} is no order of the axes of {inputs[0]} that begins with the batch")
    return tuple(inputs[0][dim] for dim in dims)


def _permuted(call: Call) -> dict[str, Any]:
    rank = len(call.inputs[0])
    return {"dims": [dim % rank for dim in call.arguments["dims"]]}


def _transposed(call: Call) -> dict[str, Any]:
    dims = list(range(len(call.inputs[0])))
    first, second = call.arguments["dim0"], call.arguments["dim1"]
    dims[first], dims[second] = dims[second], dims[first]
    return {"dims": dims}


def _moved(call: Call) -> dict[str, Any]:
    rank = len(call.inputs[0])
    source, destination = call.arguments["source"] % rank, call.arguments["destination"] % rank
    dims = [dim for dim in range(rank) if dim != source]
    dims.insert(destination, source)
    return {"dims": dims}


def _permute_mixes(attributes: Attributes, inputs: Sequence[Shape]) -> str | None:
    if attributes["dims"] in (TO_CHANNELS_LAST, TO_CHANNELS_FIRST):
        return None
    return "its axes are permuted in a way in which channels are not followed"


def _flipped(call: Call) -> dict[str, Any]:
    rank, dims = len(call.inputs[0]), call.arguments["dims"]
    return {"axes": sorted(dim % rank for dim in dims)}


def _flip_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    axes: Any = attributes["axes"]
    if max(axes) >= len(inputs[0]):
        raise ValueError(f"axes {axes} of {inputs[0]}")
    return inputs[0]


def _flip_onnx(call: OnnxCall) -> list[OnnxNode]:
    axes: Any = call.attributes["axes"]
    limits = {"starts": [-1] * len(axes), "ends": [_BEFORE_ALL] * len(axes), "axes": axes, "steps": [-1] * len(axes)}
    names = [call.constant(name, np.array(numbers, dtype=np.int64)) for name, numbers in limits.items()]
    return [OnnxNode(op_type="Slice", inputs=(*call.inputs, *names))]


def _flip_mixes(attributes: Attributes, inputs: Sequence[Shape]) -> str | None:
    axes: Any = attributes["axes"]
    return None if len(inputs[0]) == 4 and 1 not in axes else "their order is turned round"


def _reshape_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    sizes: Any = attributes["sizes"]
    if prod(sizes) != prod(inputs[0][1:]):
        raise ValueError(f"{inputs[0]} cannot be seen as [N, {', '.join(map(str, sizes))}]")
    return (inputs[0][0], *sizes)


def _reshape_onnx(call: OnnxCall) -> list[OnnxNode]:
    sizes: Any = call.attributes["sizes"]
    target = call.constant("sizes", np.array([0, *sizes], dtype=np.int64))  # 0: as the input, the batch
    return [OnnxNode(op_type="Reshape", inputs=(*call.inputs, target))]


def _seen_as(target: str, shape_of: Callable[[Call], Shape | None], *names: str) -> Aten:
    return Aten(
        target=target,
        when=lambda call: bool(shape_of(call)),
        attributes=lambda call: {"sizes": shape_of(call)},
        ignored=names,
        alias=True,
    )


OPERATORS = (
    Operator(
        name="permute",
        attributes={"dims": Wholes(low=0)},
        shape=_permute_shape,
        allocates=False,
        function=lambda torch, attributes: lambda x: x.permute(attributes["dims"]),
        onnx=lambda call: [
            OnnxNode(op_type="Transpose", inputs=call.inputs, attributes={"perm": call.attributes["dims"]})
        ],
        mixes=_permute_mixes,
        aten=(
            Aten(target="permute.default", attributes=_permuted, alias=True),
            Aten(target="transpose.int", attributes=_transposed, ignored=("dim0", "dim1"), alias=True),
            Aten(target="movedim.int", attributes=_moved, ignored=("source", "destination"), alias=True),
        ),
    ),
    Operator(
        name="flip",
        attributes={"axes": Wholes(low=1, high=7)},
        shape=_flip_shape,
        function=lambda torch, attributes: lambda x: torch.flip(x, attributes["axes"]),
        onnx=_flip_onnx,
        mixes=_flip_mixes,
        aten=(Aten(target="flip.default", attributes=_flipped, ignored=("dims",)),),
    ),
    Operator(
        name="reshape",
        attributes={"sizes": Wholes(low=1, high=1 << 24)},
        shape=_reshape_shape,
        allocates=False,
        function=lambda torch, attributes: lambda x: x.reshape(x.shape[0], *attributes["sizes"]),  # type: ignore[misc]
        onnx=_reshape_onnx,
        mixes=lambda attributes, inputs: "a reshape takes them apart in a way in which channels are not followed",
        aten=(
            _seen_as("view.default", viewed, "size"),
            _seen_as("reshape.default", viewed, "shape"),
            _seen_as("flatten.using_ints", viewed, "start_dim", "end_dim"),
            _seen_as("squeeze.dim", viewed, "dim"),
            _seen_as("squeeze.dims", viewed, "dim"),
            _seen_as("unflatten.int", unflattened, "dim", "sizes"),
            _seen_as("unsqueeze.default", unsqueezed, "dim"),
        ),
    ),
)
