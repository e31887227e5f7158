"""EfficientNet-B0 (Tan & Le, 2019, arXiv 1905.11946); weights are called as in torchvision."""

from adapt.zoo.architecture import Family, Published, printed
from adapt.zoo.builder import GraphBuilder, make_divisible

STEM, LAST = 32, 1280
STAGES = (
    # expansion, kernel, channels, layers, first stride: Table 1
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
ACT = "silu"


def _build(builder: GraphBuilder, classes: int, width: float) -> str:
    stem = make_divisible(STEM * width)
    value = builder.conv_bn_act(builder.images, "features.0.0", "features.0.1", stem, 3, stride=2, act=ACT)
    for stage, (expansion, kernel, channels, layers, first_stride) in enumerate(STAGES, start=1):
        for layer in range(layers):
            path, stride = f"features.{stage}.{layer}", first_stride if layer == 0 else 1
            value = _block(builder, value, path, expansion, kernel, make_divisible(channels * width), stride)
    last = make_divisible(LAST * width)
    value = builder.conv_bn_act(value, "features.8.0", "features.8.1", last, act=ACT)
    value = builder.dropout(builder.global_pool(value), "dropout", 0.2)
    return builder.linear(value, "classifier.1", classes)


def _block(
    builder: GraphBuilder, value: str, path: str, expansion: int, kernel: int, channels: int, stride: int
) -> str:
    before, at = value, 0
    if expansion != 1:
        hidden = make_divisible(builder.channels(value) * expansion)
        value = builder.conv_bn_act(value, f"{path}.block.0.0", f"{path}.block.0.1", hidden, act=ACT)
        at = 1
    value = builder.depthwise_bn_act(
        value, f"{path}.block.{at}.0", f"{path}.block.{at}.1", kernel, stride=stride, act=ACT
    )
    squeezed = max(1, builder.channels(before) // 4)  # of the block's own input
    value = builder.squeeze_excite(value, f"{path}.block.{at + 1}", squeezed, act=ACT)
    value = builder.conv_bn_act(value, f"{path}.block.{at + 2}.0", f"{path}.block.{at + 2}.1", channels, act=None)
    if stride == 1 and builder.channels(before) == channels:
        value = builder.add(before, value, f"{path}.add")
    return value


FAMILIES = (
    Family(
        name="efficientnet_b0",
        paper="Tan & Le 2019, arXiv:1905.11946, Tables 1 and 2",
        build=_build,
        has_width=True,
        head="classifier.1",
        published={(1.0, 224): Published(macs=printed("390"), params=printed("5.3"))},
    ),
)
