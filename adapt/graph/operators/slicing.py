"""Concatenation, slices, padding, and the channel shuffle: operators that put channels elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np

from adapt.graph.network import Shape
from adapt.graph.operators.operator import (
    LARGEST_SIZE,
    Aten,
    Attributes,
    Call,
    OneOf,
    OnnxCall,
    OnnxNode,
    Operator,
    Real,
    Torch,
    WeightShapes,
    Whole,
    Wholes,
    scalar,
)

_FIXED_SLICE = "a slice takes them from fixed places, which must not move"


def _axis(dim: Any, rank: int) -> int:
    if type(dim) is not int or not -rank <= dim < rank:
        raise ValueError(f"dimension {dim!r} does not exist")
    return dim % rank


def _cat_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    axis: Any = attributes["axis"]
    first = inputs[0]
    for shape in inputs:
        if not axis < len(first) or shape[:axis] + shape[axis + 1 :] != first[:axis] + first[axis + 1 :]:
            raise ValueError(f"shapes {[list(shape) for shape in inputs]} cannot be concatenated along axis {axis}")
    return (*first[:axis], sum(shape[axis] for shape in inputs), *first[axis + 1 :])


def _cat_mixes(attributes: Attributes, inputs: Sequence[Shape]) -> str | None:
    if attributes["axis"] == 1:
        return None
    return "they are concatenated along another axis than the channels'"


def _slice_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    axis: Any = attributes["axis"]
    start: Any = attributes["start"]
    end: Any = attributes["end"]
    step: Any = attributes["step"]
    shape = inputs[0]
    if not axis < len(shape) or not start < end <= shape[axis]:
        raise ValueError(f"[{start}:{end}] along axis {axis} does not lie in {shape}")
    return (*shape[:axis], ceil((end - start) / step), *shape[axis + 1 :])


def _slice_function(torch: Torch, attributes: Attributes) -> Callable[..., Any]:
    axis: Any = attributes["axis"]
    index = (*(slice(None) for _ in range(axis)), slice(attributes["start"], attributes["end"], attributes["step"]))
    return lambda x: x[index]


def _slice_onnx(call: OnnxCall) -> list[OnnxNode]:
    names = {"starts": "start", "ends": "end", "axes": "axis", "steps": "step"}
    limits = [call.constant(name, np.array([call.attributes[key]], dtype=np.int64)) for name, key in names.items()]
    return [OnnxNode(op_type="Slice", inputs=(*call.inputs, *limits))]


def _clipped(index: Any, size: int, default: int) -> int:
    """An index as Python's slices take it: negative ones count from the end, far ones are cut off."""
    if index is None:
        return default
    if type(index) is not int:
        raise ValueError(f"{index!r} is no fixed place")
    return min(max(index + size if index < 0 else index, 0), size)


def _sliced(call: Call) -> dict[str, Any]:
    axis = _axis(call.arguments.get("dim", 0), len(call.inputs[0]))
    size, step = call.inputs[0][axis], call.arguments.get("step")
    start, end = (call.arguments.get(name) for name in ("start", "end"))
    return _places(axis, _clipped(start, size, 0), _clipped(end, size, size), 1 if step is None else step)


def _narrowed(call: Call) -> dict[str, Any]:
    axis = _axis(call.arguments["dim"], len(call.inputs[0]))
    start = _clipped(call.arguments["start"], call.inputs[0][axis], 0)
    return _places(axis, start, start + call.arguments["length"])


def _split(call: Call) -> dict[str, Any]:
    """The result of split and chunk that this node stands for."""
    axis, size, which = _part(call)
    length = call.arguments.get("split_size")
    if length is None:
        length = -(-size // call.arguments["chunks"])
    return _places(axis, which * length, min((which + 1) * length, size))


def _even_parts(call: Call) -> dict[str, Any]:
    """As even as possible, the first ones larger by one."""
    axis, size, which = _part(call)
    least, larger = divmod(size, call.arguments["sections"])
    start = which * least + min(which, larger)
    return _places(axis, start, start + least + (which < larger))


def _split_with_sizes(call: Call) -> dict[str, Any]:
    axis, _, which = _part(call)
    sizes: Any = call.arguments.get("split_sizes")
    start = sum(sizes[:which])
    return _places(axis, start, start + sizes[which])


def _part(call: Call) -> tuple[int, int, int]:
    axis = _axis(call.arguments.get("dim", 0), len(call.inputs[0]))
    return axis, call.inputs[0][axis], call.arguments["result"]


def _places(axis: int, start: int, end: int, step: int = 1) -> dict[str, Any]:
    if axis == 0:
        raise ValueError("it takes images out of the batch")
    return {"axis": axis, "start": start, "end": end, "step": step}


def _select_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    axis: Any = attributes["axis"]
    index: Any = attributes["index"]
    if not axis < len(inputs[0]) or not index < inputs[0][axis]:
        raise ValueError(f"index {index} of axis {axis} does not lie in {inputs[0]}")
    return (*inputs[0][:axis], *inputs[0][axis + 1 :])


def _selected(call: Call) -> dict[str, Any]:
    axis, index = _axis(call.arguments.get("dim"), len(call.inputs[0])), call.arguments.get("index")
    if axis == 0 or type(index) is not int:
        raise ValueError("it takes images out of the batch, or from no fixed place")
    return {"axis": axis, "index": index % call.inputs[0][axis]}


def _unbound(call: Call) -> dict[str, Any]:
    axis, _, which = _part(call)
    if axis == 0:
        raise ValueError("it takes the images of a batch apart")
    return {"axis": axis, "index": which}


def _select_onnx(call: OnnxCall) -> list[OnnxNode]:
    index = call.constant("index", np.array(call.attributes["index"], dtype=np.int64))
    attributes = {"axis": call.attributes["axis"]}
    return [OnnxNode(op_type="Gather", inputs=(*call.inputs, index), attributes=attributes)]


def _pad_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    pads: Any = attributes["pads"]
    shape = inputs[0]
    if len(pads) != 2 * len(shape) or pads[:2] != (0, 0):
        raise ValueError(f"pads {pads} do not fit {shape}")
    around = [(pads[2 * axis], pads[2 * axis + 1]) for axis in range(len(shape))]
    for size, (before, after) in zip(shape, around, strict=True):
        if size + before + after < 1 or (min(before, after) < 0 and -before - after >= size):
            raise ValueError(f"pads {pads} leave nothing of {shape}")
        if attributes["mode"] == "reflect" and max(before, after) >= size:
            raise ValueError(f"pads {pads} reflect more than {shape} has")
    return tuple(size + before + after for size, (before, after) in zip(shape, around, strict=True))


def _padded(call: Call) -> Mapping[str, Any]:
    """Torch lists pads from the last axis; ours go axis by axis from the first."""
    given, rank = call.arguments.get("pad"), len(call.inputs[0])
    if not isinstance(given, list) or len(given) % 2 or not 0 < len(given) <= 2 * rank:
        raise ValueError(f"pads {given!r} are not understood")
    around = [given[index : index + 2] for index in range(0, len(given), 2)]
    around += [[0, 0]] * (rank - len(around))
    pads = tuple(pad for pair in reversed(around) for pad in pair)
    mode, value = call.arguments.get("mode"), call.arguments.get("value")
    return {"pads": pads, "mode": mode or "constant", "value": 0.0 if value is None else value}


def _pad_function(torch: Torch, attributes: Attributes) -> Callable[..., Any]:
    pads: Any = attributes["pads"]
    while pads[:2] == (0, 0) and len(pads) > 4:  # torch wants the padded axes alone where it does not pad with a number
        pads = pads[2:]
    around = [pad for axis in range(len(pads) // 2 - 1, -1, -1) for pad in pads[2 * axis : 2 * axis + 2]]
    mode = attributes["mode"]
    options = {"value": attributes["value"]} if mode == "constant" else {}
    return lambda x: torch.nn.functional.pad(x, around, mode=mode, **options)


def _pad_onnx(call: OnnxCall) -> list[OnnxNode]:
    given: Any = call.attributes["pads"]
    mode: Any = call.attributes["mode"]
    pads = call.constant("pads", np.array([*given[::2], *given[1::2]], dtype=np.int64))
    extra = (call.constant("value", scalar(call.attributes["value"])),) if mode == "constant" else ()  # type: ignore[arg-type]
    attributes = {"mode": {"replicate": "edge"}.get(mode, mode)}
    return [OnnxNode(op_type="Pad", inputs=(*call.inputs, pads, *extra), attributes=attributes)]


def _pad_mixes(attributes: Attributes, inputs: Sequence[Shape]) -> str | None:
    pads: Any = attributes["pads"]
    return None if len(pads) == 8 and pads[2:4] == (0, 0) else "channels are padded on, at fixed places"


def _shuffle_shape(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    groups: Any = attributes["groups"]
    if len(inputs[0]) != 4 or inputs[0][1] % groups:
        raise ValueError(f"{groups} groups do not divide the channels of {inputs[0]}")
    return inputs[0]


def _shuffle_onnx(call: OnnxCall) -> list[OnnxNode]:
    groups: Any = call.attributes["groups"]
    _, channels, *image = call.shapes[0]
    apart = call.constant("apart", np.array([0, groups, channels // groups, *image], dtype=np.int64))
    together = call.constant("together", np.array([0, channels, *image], dtype=np.int64))
    split, turned = f"{call.name}/split", f"{call.name}/turned"
    return [
        OnnxNode(op_type="Reshape", inputs=(*call.inputs, apart), output=split),
        OnnxNode(op_type="Transpose", inputs=(split,), attributes={"perm": (0, 2, 1, 3, 4)}, output=turned),
        OnnxNode(op_type="Reshape", inputs=(turned, together)),
    ]


def _shuffle_function(torch: Torch, attributes: Attributes) -> Callable[..., Any]:
    groups: Any = attributes["groups"]

    def shuffle(x: Any) -> Any:
        _, channels, height, width = x.shape
        split = x.reshape(-1, groups, channels // groups, height, width)
        return split.transpose(1, 2).reshape(-1, channels, height, width)

    return shuffle


def _shuffled_pixels(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    factor: Any = attributes["factor"]
    if len(inputs[0]) != 4 or inputs[0][1] % factor**2:
        raise ValueError(f"a factor of {factor} does not fit {inputs[0]}")
    batch, channels, height, width = inputs[0]
    return (batch, channels // factor**2, height * factor, width * factor)


def _unshuffled_pixels(inputs: Sequence[Shape], attributes: Attributes, weights: WeightShapes) -> Shape:
    factor: Any = attributes["factor"]
    if len(inputs[0]) != 4 or inputs[0][2] % factor or inputs[0][3] % factor:
        raise ValueError(f"a factor of {factor} does not fit {inputs[0]}")
    batch, channels, height, width = inputs[0]
    return (batch, channels * factor**2, height // factor, width // factor)


def _pixel_shuffle_onnx(call: OnnxCall) -> list[OnnxNode]:
    attributes = {"blocksize": call.attributes["factor"], "mode": "CRD"}
    return [OnnxNode(op_type="DepthToSpace", inputs=call.inputs, attributes=attributes)]


def _pixel_unshuffle_onnx(call: OnnxCall) -> list[OnnxNode]:
    """ONNX's SpaceToDepth puts the channels in another order."""
    factor: Any = call.attributes["factor"]
    _, channels, height, width = call.shapes[0]
    cells = (channels, height // factor, factor, width // factor, factor)
    apart = call.constant("apart", np.array([0, *cells], dtype=np.int64))
    joined = (channels * factor**2, height // factor, width // factor)
    together = call.constant("together", np.array([0, *joined], dtype=np.int64))
    split, turned = f"{call.name}/split", f"{call.name}/turned"
    return [
        OnnxNode(op_type="Reshape", inputs=(*call.inputs, apart), output=split),
        OnnxNode(op_type="Transpose", inputs=(split,), attributes={"perm": (0, 1, 3, 5, 2, 4)}, output=turned),
        OnnxNode(op_type="Reshape", inputs=(turned, together)),
    ]


_FROM_BATCH_ON = Whole(low=1)

OPERATORS = (
    Operator(
        name="cat",
        arity=0,
        attributes={"axis": _FROM_BATCH_ON},
        shape=_cat_shape,
        function=lambda torch, attributes: lambda *parts: torch.cat(parts, attributes["axis"]),
        onnx=lambda call: [OnnxNode(op_type="Concat", inputs=call.inputs, attributes=dict(call.attributes))],
        mixes=_cat_mixes,
        aten=tuple(
            Aten(
                target=f"{name}.default",
                inputs=("tensors",),
                attributes=lambda call: {"axis": _axis(call.arguments.get("dim", 0), len(call.inputs[0]))},
                ignored=("dim",),
            )
            for name in ("cat", "concat", "concatenate")
        ),
    ),
    Operator(
        name="slice",
        attributes={"axis": _FROM_BATCH_ON, "start": Whole(), "end": Whole(low=1), "step": Whole(low=1, default=1)},
        shape=_slice_shape,
        function=_slice_function,
        onnx=_slice_onnx,
        mixes=lambda attributes, inputs: _FIXED_SLICE if attributes["axis"] == 1 or len(inputs[0]) != 4 else None,
        aten=(
            Aten(target="slice.Tensor", attributes=_sliced, ignored=("dim", "start", "end", "step"), alias=True),
            Aten(target="narrow.default", attributes=_narrowed, ignored=("dim", "start", "length"), alias=True),
            Aten(target="chunk.default", attributes=_split, ignored=("chunks", "dim", "result"), alias=True),
            Aten(
                target="tensor_split.sections",
                attributes=_even_parts,
                ignored=("sections", "dim", "result"),
                alias=True,
            ),
            Aten(target="split.Tensor", attributes=_split, ignored=("split_size", "dim", "result"), alias=True),
            Aten(
                target="split_with_sizes.default",
                attributes=_split_with_sizes,
                ignored=("split_sizes", "dim", "result"),
                alias=True,
            ),
        ),
    ),
    Operator(
        name="select",
        attributes={"axis": _FROM_BATCH_ON, "index": Whole()},
        shape=_select_shape,
        function=lambda torch, attributes: lambda x: x.select(attributes["axis"], attributes["index"]),
        onnx=_select_onnx,
        mixes=lambda attributes, inputs: _FIXED_SLICE,
        aten=(
            Aten(target="select.int", attributes=_selected, ignored=("dim", "index"), alias=True),
            Aten(target="unbind.int", attributes=_unbound, ignored=("dim", "result"), alias=True),
        ),
    ),
    Operator(
        name="pad",
        attributes={
            "pads": Wholes(low=-LARGEST_SIZE),
            "mode": OneOf(words=("constant", "reflect", "replicate"), default="constant"),
            "value": Real(low=-3e38, high=3e38, default=0.0),
        },
        shape=_pad_shape,
        function=_pad_function,
        onnx=_pad_onnx,
        mixes=_pad_mixes,
        aten=(
            Aten(target="pad.default", attributes=_padded, ignored=("pad", "mode", "value")),
            Aten(target="constant_pad_nd.default", attributes=_padded, ignored=("pad", "value")),
        ),
    ),
    Operator(
        name="channel_shuffle",
        attributes={"groups": Whole(low=1)},
        shape=_shuffle_shape,
        function=_shuffle_function,
        onnx=_shuffle_onnx,
        mixes=lambda attributes, inputs: "a channel shuffle deals them out in a fixed order",
        aten=(Aten(target="channel_shuffle.default"),),
    ),
    *(
        Operator(
            name=name,
            attributes={"factor": Whole(low=1)},
            shape=shape,
            function=lambda torch, attributes, name=name: (
                lambda x: getattr(torch.nn.functional, name)(  # type: ignore[misc]
                    x, attributes["factor"]
                )
            ),
            onnx=spell,
            mixes=lambda attributes, inputs: "channels are laid out over the image, or the image over channels",
            aten=(
                Aten(
                    target=f"{name}.default",
                    attributes=lambda call, given=given: {"factor": call.arguments.get(given)},  # type: ignore[misc]
                    ignored=(given,),
                ),
            ),
        )
        for name, given, shape, spell in (
            ("pixel_shuffle", "upscale_factor", _shuffled_pixels, _pixel_shuffle_onnx),
            ("pixel_unshuffle", "downscale_factor", _unshuffled_pixels, _pixel_unshuffle_onnx),
        )
    ),
)
