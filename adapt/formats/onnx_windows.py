"""Convolutions and pools of ONNX in aten's words. Uneven padding becomes a step of its own, or torch's ceil mode."""

from typing import Any

from adapt.formats.aten import Reference
from adapt.formats.onnx_stated import PREVIOUS, Stated, Step, Weight
from adapt.graph.network import Shape

_Axis = tuple[int, int]
"""Padding before and after."""


def convolution(stated: Stated) -> list[Step]:
    weight = stated.weight("W")
    if weight.array.ndim == 3:
        return _along_a_row(stated, weight)
    if weight.array.ndim != 4:
        stated.refuse(f"with a weight of rank {weight.array.ndim}; 2-D convolutions are read")
    kernel = (weight.array.shape[2], weight.array.shape[3])
    if stated.pair("kernel_shape", kernel) != kernel:
        stated.refuse(f"kernel_shape {stated.node.attributes['kernel_shape']} is not that of the weight, {kernel}")
    groups, channels = stated.number("group", 1), _image(stated)[1]
    if groups * weight.array.shape[1] != channels:
        takes = f"its weight takes {groups * weight.array.shape[1]} channels with groups = {groups}"
        stated.refuse(f"{takes}, its input {list(_image(stated))} has {channels}")
    stride, dilation = stated.pair("strides", (1, 1)), stated.pair("dilations", (1, 1))
    pads = _pads(stated, kernel, stride, dilation)
    source, steps, padding = _padded(stated, pads, 0.0)
    arguments = {
        "input": source,
        "weight": weight,
        "stride": list(stride),
        "padding": padding,
        "dilation": list(dilation),
        "groups": groups,
    }
    if stated.has("B"):
        arguments["bias"] = stated.weight("B")
    return [*steps, Step(target="conv2d.default", arguments=arguments)]


def _along_a_row(stated: Stated, weight: Weight) -> list[Step]:
    """Over [N, C, L], as efficient channel attention looks at neighbouring channels."""
    given, shape = stated.node.attributes, stated.shape("X")
    before, after = given.get("pads", [0, 0])
    if len(shape) != 3 or given.get("auto_pad", "NOTSET") != "NOTSET" or before != after:
        stated.refuse(f"on the shape {list(shape)} with a weight of rank 3 and pads {[before, after]}")
    arguments = {
        "input": stated.value("X"),
        "weight": weight,
        "stride": given.get("strides", [1]),
        "padding": [before],
        "dilation": given.get("dilations", [1]),
        "groups": stated.number("group", 1),
    }
    if stated.has("B"):
        arguments["bias"] = stated.weight("B")
    return [Step(target="conv1d.default", arguments=arguments)]


def max_pool(stated: Stated) -> list[Step]:
    kernel, stride, dilation = _window(stated)
    pads, ceil_mode = _pool_pads(stated, kernel, stride, dilation)
    if stated.number("storage_order", 0) != 0:
        stated.refuse("with storage_order")
    arguments = {
        "self": stated.value("X"),
        "kernel_size": list(kernel),
        "stride": list(stride),
        "padding": [before for before, _ in pads],
        "dilation": list(dilation),
        "ceil_mode": ceil_mode,
    }
    if any(before != after for before, after in pads):
        if ceil_mode or not _ceil_is_the_same(_image(stated), pads, kernel, stride, dilation):
            stated.refuse(f"with the uneven padding {pads}")
        arguments["ceil_mode"] = True
    return [Step(target="max_pool2d.default", arguments=arguments)]


def average_pool(stated: Stated) -> list[Step]:
    if len(stated.shape("X")) == 5:
        return _average_of_neighbours(stated)
    kernel, stride, dilation = _window(stated)
    if dilation != (1, 1):
        stated.refuse(f"with dilations {dilation}")
    pads, ceil_mode = _pool_pads(stated, kernel, stride, dilation)
    padded = any(after for pair in pads for after in pair)
    counted = bool(stated.number("count_include_pad", 0))
    source, steps, padding = stated.value("X"), list[Step](), [before for before, _ in pads]
    if any(before != after for before, after in pads):
        if counted and not ceil_mode:
            source, steps, padding = _padded(stated, pads, 0.0)
        elif not ceil_mode and _ceil_is_the_same(_image(stated), pads, kernel, stride, dilation):
            ceil_mode = True
        else:
            stated.refuse(f"with the uneven padding {pads}")
    arguments = {
        "self": source,
        "kernel_size": list(kernel),
        "stride": list(stride),
        "padding": padding,
        "ceil_mode": ceil_mode,
        "count_include_pad": counted or not (padded or ceil_mode),
    }
    return [*steps, Step(target="avg_pool2d.default", arguments=arguments)]


def adaptive_average(stated: Stated) -> list[Step]:
    size, image = (stated.node.attributes[name] for name in ("output_size", "image"))
    if list(_image(stated)[2:]) != image:
        stated.refuse(f"over cells of {image} pixels on the shape {list(_image(stated))}")
    return [Step(target="adaptive_avg_pool2d.default", arguments={"self": stated.value("X"), "output_size": size})]


def _average_of_neighbours(stated: Stated) -> list[Step]:
    """Over [N, 1, C, H, W], as torch writes a local response norm."""
    given = stated.node.attributes
    if any(given.get("pads", [])) or given.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        stated.refuse(f"with pads on the shape {list(stated.shape('X'))}")
    arguments = {"self": stated.value("X"), "kernel_size": given.get("kernel_shape"), "stride": given.get("strides")}
    return [Step(target="avg_pool3d.default", arguments=arguments)]


def resize(stated: Stated) -> list[Step]:
    """To a size, or by factors of rows and columns. The nearest pixel, or between the four around."""
    given, shape = stated.node.attributes, _image(stated)
    scales, sizes = (stated.numbers(name) or [] for name in ("scales", "sizes"))
    if not (len(sizes) == 4 and sizes[1] == shape[1]) and not (len(scales) == 4 and scales[:2] == [1, 1]):
        stated.refuse(f"to the sizes {sizes}, by the factors {scales}; rows and columns alone are resized")
    rows = {"output_size": sizes[2:]} if sizes else _by_factors(shape, [float(scale) for scale in scales[2:]])
    mode, how = given.get("mode", "nearest"), given.get("coordinate_transformation_mode", "half_pixel")
    if stated.node.op_type == "Upsample":
        how = "asymmetric"
    if given.get("antialias", 0) or given.get("exclude_outside", 0) or stated.has("axes"):
        stated.refuse("with antialias, exclude_outside or axes")
    named = {"input": stated.value("X"), **rows}
    if mode == "nearest" and _takes_the_pixel_before(stated, how, sizes[2:] or scales[2:]):
        return [Step(target="upsample_nearest2d.vec", arguments=named)]
    if how == "pytorch_half_pixel" and 1 in rows.get("output_size", ()):
        stated.refuse("with pytorch_half_pixel to a single pixel, which is taken from the corner")
    if mode == "linear" and how in ("pytorch_half_pixel", "half_pixel", "align_corners"):
        corners = {"align_corners": how == "align_corners"}
        return [Step(target="upsample_bilinear2d.vec", arguments={**named, **corners})]
    stated.refuse(f"with mode {mode}, coordinate_transformation_mode {how}")


def _by_factors(shape: Shape, factors: list[float]) -> dict[str, Any]:
    """Factors that are a whole size in float32 are that size."""
    sizes = [pixels * factor for pixels, factor in zip(shape[2:], factors, strict=True)]
    if all(abs(size - round(size)) < 1e-5 * size for size in sizes):
        return {"output_size": [round(size) for size in sizes]}
    return {"scale_factors": factors}


def _takes_the_pixel_before(stated: Stated, how: str, wanted: list[Any]) -> bool:
    """Whether each new pixel is the old one at its place times the ratio, rounded down, as torch takes it."""
    rounding = stated.node.attributes.get("nearest_mode", "round_prefer_floor")
    if how == "asymmetric":
        return rounding == "floor" or stated.node.op_type == "Upsample"
    ratios = [size / own if stated.has("sizes") else size for size, own in zip(wanted, _image(stated)[2:], strict=True)]
    return how == "half_pixel" and rounding == "round_prefer_floor" and all(ratio == int(ratio) for ratio in ratios)


def _window(stated: Stated) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    if "kernel_shape" not in stated.node.attributes:
        stated.refuse("without kernel_shape")
    return stated.pair("kernel_shape", (1, 1)), stated.pair("strides", (1, 1)), stated.pair("dilations", (1, 1))


def _image(stated: Stated) -> Shape:
    shape = stated.shape("X")
    if len(shape) != 4:
        stated.refuse(f"on the shape {list(shape)}; [N, C, H, W] is needed")
    return shape


def _pads(
    stated: Stated, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[_Axis, _Axis]:
    """What is added before and after the rows, and before and after the columns."""
    automatic = stated.node.attributes.get("auto_pad", "NOTSET")
    sizes = _image(stated)[2:]
    if automatic == "VALID":
        return ((0, 0), (0, 0))
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        first, second = (_same(*axis, automatic) for axis in zip(sizes, kernel, stride, dilation, strict=True))
        return first, second
    pads = stated.node.attributes.get("pads", [0, 0, 0, 0])
    if automatic != "NOTSET" or not isinstance(pads, list) or len(pads) != 4 or min(pads) < 0:
        stated.refuse(f"with auto_pad {automatic} and pads {pads}")
    return (pads[0], pads[2]), (pads[1], pads[3])


def _same(size: int, kernel: int, stride: int, dilation: int, automatic: str) -> _Axis:
    total = max(0, (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)
    small, large = total // 2, total - total // 2
    return (small, large) if automatic == "SAME_UPPER" else (large, small)


def _pool_pads(
    stated: Stated, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[tuple[_Axis, _Axis], bool]:
    pads = _pads(stated, kernel, stride, dilation)
    ceil_mode = bool(stated.number("ceil_mode", 0)) and stated.node.attributes.get("auto_pad", "NOTSET") == "NOTSET"
    return pads, ceil_mode


def _padded(stated: Stated, pads: tuple[_Axis, _Axis], number: float) -> tuple[Reference, list[Step], list[int]]:
    """The value to go on from, the step that pads it when that must be one of its own, and what padding is left."""
    if all(before == after for before, after in pads):
        return stated.value("X"), [], [before for before, _ in pads]
    around = [*pads[1], *pads[0]]
    arguments = {"self": stated.value("X"), "pad": around, "value": number}
    return PREVIOUS, [Step(target="constant_pad_nd.default", arguments=arguments)], [0, 0]


def _ceil_is_the_same(
    shape: Shape,
    pads: tuple[_Axis, _Axis],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> bool:
    """Whether padding `before` on both sides in ceil mode has the windows of `before` and `after`.

    What a window covers beyond the image counts in neither (minus infinity, or not in the average).
    """
    for size, (before, after), k, s, d in zip(shape[2:], pads, kernel, stride, dilation, strict=True):
        span = d * (k - 1) + 1
        stated = (size + before + after - span) // s + 1
        ceiled = -(-(size + 2 * before - span) // s) + 1
        if (ceiled - 1) * s >= size + before:
            ceiled -= 1
        if stated != ceiled or before > k // 2:
            return False
    return True
