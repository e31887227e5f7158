"""MobileNetV1 and its plain-convolution twin (Howard et al., 2017, "MobileNets", arXiv 1704.04861)."""

from adapt.zoo.architecture import Family, Published, printed
from adapt.zoo.builder import GraphBuilder

PAPER = "Howard et al. 2017, arXiv:1704.04861"

STEM = 32
BLOCKS = (
    # filters, stride: Table 1, one row for each depthwise and pointwise pair
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),  # the table prints stride 2 for this depthwise layer, but 7 x 7 in and out: it is 1
)


def _thin(filters: int, width: float) -> int:
    return max(8, int(filters * width))


def _separable(builder: GraphBuilder, classes: int, width: float) -> str:
    value = _stem(builder, width)
    for index, (filters, stride) in enumerate(BLOCKS, start=1):
        path = f"features.{index}"
        value = builder.depthwise_bn_act(value, f"{path}.0", f"{path}.1", 3, stride=stride)
        value = builder.conv_bn_act(value, f"{path}.3", f"{path}.4", _thin(filters, width))
        value = builder.end_block(value, path)
    return _head(builder, value, classes)


def _plain(builder: GraphBuilder, classes: int, width: float) -> str:
    """Every depthwise and pointwise pair is one full 3 x 3 convolution (sec. 4.1)."""
    value = _stem(builder, width)
    for index, (filters, stride) in enumerate(BLOCKS, start=1):
        path = f"features.{index}"
        value = builder.conv_bn_act(value, f"{path}.0", f"{path}.1", _thin(filters, width), 3, stride=stride)
        value = builder.end_block(value, path)
    return _head(builder, value, classes)


def _stem(builder: GraphBuilder, width: float) -> str:
    stride = builder.stem_stride()
    return builder.conv_bn_act(builder.images, "features.0.0", "features.0.1", _thin(STEM, width), 3, stride=stride)


def _head(builder: GraphBuilder, value: str, classes: int) -> str:
    return builder.linear(builder.global_pool(value), "classifier", classes)


FAMILIES = (
    Family(
        name="mobilenet_v1",
        paper=f"{PAPER}, Tables 1, 4, 6, 7, 9",
        build=_separable,
        has_width=True,
        head="classifier",
        published={
            (1.0, 224): Published(macs=printed("569"), params=printed("4.2")),
            (0.75, 224): Published(macs=printed("325"), params=printed("2.6")),
            (0.5, 224): Published(macs=printed("149"), params=printed("1.3")),
            (0.25, 224): Published(macs=printed("41"), params=printed("0.5")),
            (1.0, 192): Published(macs=printed("418"), params=printed("4.2")),
            (1.0, 160): Published(macs=printed("290"), params=printed("4.2")),
            (1.0, 128): Published(macs=printed("186"), params=printed("4.2")),
            (0.5, 160): Published(macs=printed("76"), params=printed("1.32")),
        },
        excited={(1.0, 224): Published(macs=printed("572"), params=printed("4.7"))},
    ),
    Family(
        name="mobilenet_v1_plain",
        paper=f"{PAPER}, Table 4 (Conv MobileNet)",
        build=_plain,
        has_width=True,
        head="classifier",
        published={(1.0, 224): Published(macs=printed("4866"), params=printed("29.3"))},
        excited={},
    ),
)
