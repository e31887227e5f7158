"""MobileNetV3-Large and -Small (Howard et al., 2019, arXiv 1905.02244); weights are called as in torchvision."""

from functools import partial

from adapt.zoo.architecture import Family, Published, printed
from adapt.zoo.builder import GraphBuilder, make_divisible

PAPER = "Howard et al. 2019, arXiv:1905.02244"
STEM = 16
RE, HS = "relu", "hardswish"
Row = tuple[int, int, int, bool, str, int]

LARGE: tuple[Row, ...] = (
    # kernel, exp size, #out, SE, NL, s: Table 1
    (3, 16, 16, False, RE, 1),
    (3, 64, 24, False, RE, 2),
    (3, 72, 24, False, RE, 1),
    (5, 72, 40, True, RE, 2),
    (5, 120, 40, True, RE, 1),
    (5, 120, 40, True, RE, 1),
    (3, 240, 80, False, HS, 2),
    (3, 200, 80, False, HS, 1),
    (3, 184, 80, False, HS, 1),
    (3, 184, 80, False, HS, 1),
    (3, 480, 112, True, HS, 1),
    (3, 672, 112, True, HS, 1),
    (5, 672, 160, True, HS, 2),
    (5, 960, 160, True, HS, 1),
    (5, 960, 160, True, HS, 1),
)
SMALL: tuple[Row, ...] = (
    # Table 2
    (3, 16, 16, True, RE, 2),
    (3, 72, 24, False, RE, 2),
    (3, 88, 24, False, RE, 1),
    (5, 96, 40, True, HS, 2),
    (5, 240, 40, True, HS, 1),
    (5, 240, 40, True, HS, 1),
    (5, 120, 48, True, HS, 1),
    (5, 144, 48, True, HS, 1),
    (5, 288, 96, True, HS, 2),
    (5, 576, 96, True, HS, 1),
    (5, 576, 96, True, HS, 1),
)


def _build(builder: GraphBuilder, classes: int, width: float, *, rows: tuple[Row, ...], last: int) -> str:
    stem = make_divisible(STEM * width)
    value = builder.conv_bn_act(builder.images, "features.0.0", "features.0.1", stem, 3, stride=2, act=HS)
    for index, row in enumerate(rows, start=1):
        nominal = STEM if index == 1 else rows[index - 2][2]
        value = _block(builder, value, f"features.{index}", row, width, row[1] / nominal)
    path, expanded = f"features.{len(rows) + 1}", 6 * builder.channels(value)
    value = builder.conv_bn_act(value, f"{path}.0", f"{path}.1", expanded, act=HS)
    # The redesigned last stage (sec. 5.1): the widest layer comes behind the pooling, where it costs next to nothing.
    value = builder.linear(builder.global_pool(value), "classifier.0", make_divisible(last * max(1.0, width)))
    value = builder.dropout(builder.activation(value, HS), "classifier_dropout", 0.2)
    return builder.linear(value, "classifier.3", classes)


def _block(builder: GraphBuilder, value: str, path: str, row: Row, width: float, expansion: float) -> str:
    """`expansion` is of the block's input, whatever the width made of that: only so do the widths count as printed."""
    kernel, _, channels, excites, act, stride = row
    before, at = value, 0
    expanded, channels = make_divisible(builder.channels(value) * expansion), make_divisible(channels * width)
    if expanded != builder.channels(value):
        value = builder.conv_bn_act(value, f"{path}.block.0.0", f"{path}.block.0.1", expanded, act=act)
        at = 1
    value = builder.depthwise_bn_act(
        value, f"{path}.block.{at}.0", f"{path}.block.{at}.1", kernel, stride=stride, act=act
    )
    if excites:
        at += 1
        squeezed = make_divisible(expanded // 4)  # "fixed to be 1/4 of the expansion layer" (sec. 5.3)
        value = builder.squeeze_excite(value, f"{path}.block.{at}", squeezed, gate="hardsigmoid")
    at += 1
    value = builder.conv_bn_act(value, f"{path}.block.{at}.0", f"{path}.block.{at}.1", channels, act=None)
    if stride == 1 and builder.channels(before) == channels:
        value = builder.add(before, value, f"{path}.add")
    return value


FAMILIES = (
    Family(
        name="mobilenet_v3_large",
        paper=f"{PAPER}, Tables 1 and 3",
        build=partial(_build, rows=LARGE, last=1280),
        has_width=True,
        head="classifier.3",
        eps=0.001,
        momentum=0.01,
        published={
            (1.0, 224): Published(macs=printed("219"), params=printed("5.4")),
            (0.75, 224): Published(macs=printed("155"), params=printed("4.0")),
        },
    ),
    Family(
        name="mobilenet_v3_small",
        paper=f"{PAPER}, Tables 2 and 3",
        build=partial(_build, rows=SMALL, last=1024),
        has_width=True,
        head="classifier.3",
        eps=0.001,
        momentum=0.01,
        published={
            (1.0, 224): Published(macs=printed("56"), params=printed("2.5")),
            (0.75, 224): Published(macs=printed("44"), params=printed("2.0")),
        },
    ),
)
