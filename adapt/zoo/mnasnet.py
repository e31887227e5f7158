"""MnasNet-A1 (Tan et al., 2019, arXiv 1807.11626)."""

from adapt.zoo.architecture import Family, Published, printed
from adapt.zoo.builder import GraphBuilder, make_divisible

STEM, SEPARABLE, LAST = 32, 16, 1280
STAGES = (
    # expansion, kernel, channels, repeats, first stride, SE: Figure 7a
    (6, 3, 24, 2, 2, False),
    (3, 5, 40, 3, 2, True),
    (6, 3, 80, 4, 2, False),
    (6, 3, 112, 2, 1, True),
    (6, 5, 160, 3, 2, True),
    (6, 3, 320, 1, 1, False),
)


def _build(builder: GraphBuilder, classes: int, width: float) -> str:
    stem = make_divisible(STEM * width)
    value = builder.conv_bn_act(builder.images, "features.0.0", "features.0.1", stem, 3, stride=2)
    value = builder.depthwise_bn_act(value, "features.1.0", "features.1.1", 3)
    value = builder.conv_bn_act(value, "features.1.3", "features.1.4", make_divisible(SEPARABLE * width), act=None)
    index = 2
    for expansion, kernel, channels, repeats, first_stride, excites in STAGES:
        for repeat in range(repeats):
            before, path = value, f"features.{index}"
            stride = first_stride if repeat == 0 else 1
            filters = make_divisible(channels * width)
            value = _expand(builder, value, path, expansion, kernel, stride)
            if excites:  # a quarter of the block's own input, not of its expansion
                value = builder.squeeze_excite(value, f"{path}.se", max(1, builder.channels(before) // 4))
            value = builder.conv_bn_act(value, f"{path}.project.0", f"{path}.project.1", filters, act=None)
            if stride == 1 and builder.channels(before) == filters:
                value = builder.add(before, value, f"{path}.add")
            index += 1
    value = builder.conv_bn_act(value, f"features.{index}.0", f"features.{index}.1", LAST)
    value = builder.dropout(builder.global_pool(value), "dropout", 0.2)
    return builder.linear(value, "classifier", classes)


def _expand(builder: GraphBuilder, value: str, path: str, expansion: int, kernel: int, stride: int) -> str:
    hidden = builder.channels(value) * expansion
    value = builder.conv_bn_act(value, f"{path}.expand.0", f"{path}.expand.1", hidden)
    return builder.depthwise_bn_act(value, f"{path}.depthwise.0", f"{path}.depthwise.1", kernel, stride=stride)


FAMILIES = (
    Family(
        name="mnasnet_a1",
        paper="Tan et al. 2019, arXiv:1807.11626, Figure 7a; figures as Howard et al. 2019, Table 3",
        build=_build,
        has_width=True,
        head="classifier",
        published={
            (1.0, 224): Published(macs=printed("315"), params=printed("3.9")),
        },
    ),
)
