"""MobileNetV2 (Sandler et al., 2018, arXiv 1801.04381); weights are called as in torchvision."""

from adapt.zoo.architecture import Family, Published, printed
from adapt.zoo.builder import GraphBuilder, make_divisible

STEM, LAST = 32, 1280
STAGES = (
    # t, c, n, s: Table 2, expansion, output channels, repeats, first stride
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _build(builder: GraphBuilder, classes: int, width: float) -> str:
    filters, stride = make_divisible(STEM * width), builder.stem_stride()
    value = builder.conv_bn_act(builder.images, "features.0.0", "features.0.1", filters, 3, stride=stride, act="relu6")
    index = 1
    for expansion, channels, repeats, first_stride in STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            value = _block(builder, value, f"features.{index}", expansion, make_divisible(channels * width), stride)
            index += 1
    last = make_divisible(LAST * max(1.0, width))  # the paper thins all but the last layer below width 1
    value = builder.conv_bn_act(value, f"features.{index}.0", f"features.{index}.1", last, act="relu6")
    value = builder.dropout(builder.global_pool(value), "dropout", 0.2)
    return builder.linear(value, "classifier.1", classes)


def _block(builder: GraphBuilder, value: str, path: str, expansion: int, channels: int, stride: int) -> str:
    """Bottleneck residual block (Table 1)."""
    before, at = value, 0
    if expansion != 1:
        hidden = builder.channels(value) * expansion
        value = builder.conv_bn_act(value, f"{path}.conv.0.0", f"{path}.conv.0.1", hidden, act="relu6")
        at = 1
    value = builder.depthwise_bn_act(value, f"{path}.conv.{at}.0", f"{path}.conv.{at}.1", 3, stride=stride, act="relu6")
    value = builder.conv_bn_act(value, f"{path}.conv.{at + 1}", f"{path}.conv.{at + 2}", channels, act=None)
    value = builder.end_block(value, path)
    if stride == 1 and builder.channels(before) == channels:
        value = builder.add(before, value, f"{path}.add")
    return value


FAMILIES = (
    Family(
        name="mobilenet_v2",
        paper="Sandler et al. 2018, arXiv:1801.04381, Tables 2, 4; 0.35 from Howard et al. 2019, Table 3",
        build=_build,
        has_width=True,
        head="classifier.1",
        published={
            (1.0, 224): Published(macs=printed("300"), params=printed("3.4")),
            (1.4, 224): Published(
                macs=printed("585"),
                params=printed("6.9"),
                why="1792 features before 1000 classes make 6.1 M parameters, which is also what the authors' released "
                "network of this width has",
                counted_apart=frozenset({"params"}),
            ),
            (0.35, 224): Published(macs=printed("59.2"), params=printed("1.6")),
        },
        excited={},
    ),
)
