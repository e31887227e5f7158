"""ONNX's ways of looking at the same numbers differently, in aten's words: reshapes, slices, concatenation, padding."""

import numpy as np

from adapt.formats.aten import RESULT, Reference
from adapt.formats.onnx_constants import Constant
from adapt.formats.onnx_stated import PREVIOUS, Stated, Step
from adapt.graph.operators.operator import BATCH
from adapt.graph.operators.resizing import nearest_places

_ALL = (1 << 31) - 1
"""How exporters write the end of a slice that is not cut, if they do not write more."""

_FAR = 3e38
"""As far as a float32 goes, for padding without end."""


def flatten(stated: Stated) -> list[Step]:
    axis, rank = stated.number("axis", 1), len(stated.shape("X"))
    if axis not in (1, 1 - rank):
        stated.refuse(f"with axis {axis}; all but the batch is flattened")
    return [Step(target="flatten.using_ints", arguments={"self": stated.value("X"), "start_dim": 1, "end_dim": -1})]


def reshape(stated: Stated, value: Reference | None = None) -> list[Step]:
    """Of X, or of another value with its axes of images, rows and columns."""
    shape, sizes = stated.shape("X" if "X" in stated.given else "A"), list(stated.numbers("shape") or [])
    if not stated.number("allowzero", 0):
        zeros = [axis for axis, size in enumerate(sizes) if size == 0]
        for axis in zeros:
            if axis >= len(shape):
                stated.refuse(f"to {sizes}, on the shape {list(shape)}")
            sizes[axis] = BATCH if axis == 0 else shape[axis]
    return [Step(target="reshape.default", arguments={"self": value or stated.value("X"), "shape": sizes})]


def as_strided(stated: Stated) -> list[Step]:
    """All values of X in a row and taken out of there in the same order, for whatever batch: torch's as_strided."""
    indices = stated.given.get("indices")
    if not isinstance(indices, Constant) or indices.at[0].ndim < 1:
        stated.refuse("of other than fixed places")
    for array in indices.at:
        if not np.array_equal(array.ravel(), np.arange(array.size)):
            stated.refuse("of values in another order than they are in")
    first, second = indices.at
    sizes = [first.shape[0] if first.shape == second.shape else BATCH, *first.shape[1:]]
    return [Step(target="reshape.default", arguments={"self": stated.value("X"), "shape": sizes})]


def expand(stated: Stated) -> list[Step]:
    """ONNX spreads in both directions: a size of 1 leaves a value's own."""
    shape, given = stated.shape("X"), stated.numbers("shape") or []
    if len(given) > len(shape):
        stated.refuse(f"of {list(shape)} to {given}")
    wanted = [-1 if size == 1 else size for size in [1] * (len(shape) - len(given)) + given]
    if all(size in (-1, own) for size, own in zip(wanted[1:], shape[1:], strict=True)) and wanted[0] in (-1, BATCH):
        return [Step(target="alias.default", arguments={"self": stated.value("X")})]
    return [Step(target="expand.default", arguments={"self": stated.value("X"), "size": wanted})]


def squeeze(stated: Stated) -> list[Step]:
    axes = stated.numbers("axes")
    if axes is None:
        return [Step(target="squeeze.default", arguments={"self": stated.value("X")})]
    return [Step(target="squeeze.dims", arguments={"self": stated.value("X"), "dim": list(axes)})]


def unsqueeze(stated: Stated) -> list[Step]:
    axes = stated.numbers("axes") or []
    rank = len(stated.shape("X")) + len(axes)
    if not axes or any(type(axis) is not int or not -rank <= axis < rank for axis in axes):
        stated.refuse(f"with axes {axes}")
    places = sorted(axis % rank for axis in axes)
    sources = [stated.value("X"), *(PREVIOUS for _ in places[1:])]
    return [
        Step(target="unsqueeze.default", arguments={"self": source, "dim": place})
        for source, place in zip(sources, places, strict=True)
    ]


def transpose(stated: Stated) -> list[Step]:
    rank = len(stated.shape("X"))
    dims = stated.numbers("perm") or list(range(rank))[::-1]
    if dims[:1] != [0]:
        stated.refuse(f"with perm {dims}, which moves the batch")
    return [Step(target="permute.default", arguments={"self": stated.value("X"), "dims": dims})]


def concat(stated: Stated) -> list[Step]:
    if any(isinstance(given, Constant) for given in stated.rest):
        stated.refuse("with a constant among its inputs")
    return [Step(target="cat.default", arguments={"tensors": list(stated.rest), "dim": stated.number("axis", None)})]


def split(stated: Stated) -> list[Step]:
    axis, shape = stated.number("axis", 0), stated.shape("X")
    if type(axis) is not int or not -len(shape) <= axis < len(shape):
        stated.refuse(f"along axis {axis} of {list(shape)}")
    count = len(stated.node.outputs)
    size = -(-shape[axis] // count)
    even = [min(size, shape[axis] - size * part) for part in range(count)]
    sizes = stated.numbers("split") or even
    if len(sizes) != count or sum(sizes) != shape[axis]:
        stated.refuse(f"into {sizes} of {shape[axis]}")
    arguments = {"self": stated.value("X"), "split_sizes": sizes, "dim": axis}
    return [
        Step(target="split_with_sizes.default", arguments={**arguments, RESULT: part}, output=part)
        for part in range(count)
        if stated.node.outputs[part]
    ]


def slice_values(stated: Stated) -> list[Step]:
    starts, ends = stated.numbers("starts") or [], stated.numbers("ends") or []
    axes = stated.numbers("axes") or list(range(len(starts)))
    steps = stated.numbers("steps") or [1] * len(starts)
    if not starts or not len(starts) == len(ends) == len(axes) == len(steps):
        stated.refuse(f"from {starts} to {ends} along {axes} in steps of {steps}")
    cuts = [
        cut for cut in zip(axes, starts, ends, steps, strict=True) if cut[:2] != (0, 0) or cut[2] < _ALL or cut[3] != 1
    ]
    if not cuts:
        return [Step(target="alias.default", arguments={"self": stated.value("X")})]
    if all(step == -1 and start in (-1, _size(stated, dim) - 1, _ALL) for dim, start, _, step in cuts):
        if any(-_size(stated, dim) <= end for dim, _, end, _ in cuts):
            stated.refuse(f"from {starts} to {ends} along {axes} backwards, other than all of an axis")
        return [Step(target="flip.default", arguments={"self": stated.value("X"), "dims": [cut[0] for cut in cuts]})]
    sources = [stated.value("X"), *(PREVIOUS for _ in cuts[1:])]
    return [
        Step(target="slice.Tensor", arguments={"self": source, "dim": dim, "start": start, "end": end, "step": step})
        for source, (dim, start, end, step) in zip(sources, cuts, strict=True)
    ]


def _size(stated: Stated, axis: int) -> int:
    return stated.shape("X")[axis]


def gather(stated: Stated) -> list[Step]:
    """One place of an axis, which then goes away; or the places that resizing to the nearest pixel takes."""
    indices = stated.given.get("indices")
    if isinstance(indices, Constant) and indices.fixed and indices.at[0].ndim == 1 and len(stated.shape("X")) == 4:
        return _nearest_pixels(stated, indices.at[0].tolist())
    if not isinstance(indices, Constant) or indices.at[0].shape != ():
        stated.refuse("of other than one fixed place")
    arguments = {"self": stated.value("X"), "dim": stated.number("axis", 0), "index": stated.number("indices", None)}
    return [Step(target="select.int", arguments=arguments)]


def _nearest_pixels(stated: Stated, places: list[int]) -> list[Step]:
    axis, sizes = stated.number("axis", 0) % 4, list(stated.shape("X")[2:])
    if axis < 2 or places != nearest_places(sizes[axis - 2], len(places)):
        stated.refuse("of other than one fixed place")
    sizes[axis - 2] = len(places)
    return [Step(target="upsample_nearest2d.vec", arguments={"input": stated.value("X"), "output_size": sizes})]


def pad(stated: Stated) -> list[Step]:
    pads, rank = stated.numbers("pads") or [], len(stated.shape("X"))
    if stated.has("axes") or len(pads) != 2 * rank:
        stated.refuse(f"with pads {pads} on the shape {list(stated.shape('X'))}")
    if not any(pads):
        return [Step(target="alias.default", arguments={"self": stated.value("X")})]
    around = [pad for axis in range(rank - 1, -1, -1) for pad in (pads[axis], pads[axis + rank])]
    while around[-2:] == [0, 0]:
        around = around[:-2]
    mode = {"edge": "replicate"}.get(stated.node.attributes.get("mode", "constant"))
    mode = mode or stated.node.attributes.get("mode", "constant")
    value = float(np.clip(stated.number("value", 0.0), -_FAR, _FAR)) if mode == "constant" else None
    arguments = {"self": stated.value("X"), "pad": around, "mode": mode, "value": value}
    return [Step(target="pad.default", arguments=arguments)]
