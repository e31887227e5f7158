"""ResNet-18, -34, -50, -101 and -152 (He et al., 2016, arXiv 1512.03385).

Weights are called as in torchvision.
"""

from functools import partial

from adapt.zoo.architecture import Family, Published, printed
from adapt.zoo.builder import GraphBuilder

STEM = 64
FILTERS = (64, 128, 256, 512)  # Table 1, conv2_x to conv5_x
EXPANSION = 4  # of a bottleneck block


def _build(builder: GraphBuilder, classes: int, width: float, *, repeats: tuple[int, ...], bottleneck: bool) -> str:
    value = builder.conv_bn_act(builder.images, "conv1", "bn1", STEM, 7, stride=2)
    value = builder.max_pool(value, "maxpool", 3, 2, padding=1)
    for stage, (filters, count) in enumerate(zip(FILTERS, repeats, strict=True), start=1):
        for index in range(count):
            stride = 2 if stage > 1 and index == 0 else 1
            path, before = f"layer{stage}.{index}", value
            if bottleneck:
                value = _bottleneck(builder, value, path, filters, stride)
            else:
                value = _basic(builder, value, path, filters, stride)
            value = builder.end_block(value, path)
            if stride != 1 or builder.channels(before) != builder.channels(value):
                down = f"{path}.downsample"
                channels = builder.channels(value)
                before = builder.conv_bn_act(before, f"{down}.0", f"{down}.1", channels, stride=stride, act=None)
            value = builder.activation(builder.add(value, before, f"{path}.add"), "relu")
    return builder.linear(builder.global_pool(value), "fc", classes)


def _basic(builder: GraphBuilder, value: str, path: str, filters: int, stride: int) -> str:
    value = builder.conv_bn_act(value, f"{path}.conv1", f"{path}.bn1", filters, 3, stride=stride)
    return builder.conv_bn_act(value, f"{path}.conv2", f"{path}.bn2", filters, 3, act=None)


def _bottleneck(builder: GraphBuilder, value: str, path: str, filters: int, stride: int) -> str:
    """Published weights have the stride in the 3 x 3 convolution; the papers, and so the figures of SE-ResNet-50, have
    it in the first one."""
    original = builder.reduction is not None and builder.layout == "paper"
    first, second = (stride, 1) if original else (1, stride)
    value = builder.conv_bn_act(value, f"{path}.conv1", f"{path}.bn1", filters, stride=first)
    value = builder.conv_bn_act(value, f"{path}.conv2", f"{path}.bn2", filters, 3, stride=second)
    return builder.conv_bn_act(value, f"{path}.conv3", f"{path}.bn3", filters * EXPANSION, act=None)


PAPER = "He et al. 2016, arXiv:1512.03385, Table 1"
LATER = "parameters are what later papers print"
PUBLISHED_STRIDE = (
    f"the paper has the stride in each stage's first 1 x 1 convolution, published weights in the 3 x 3; {LATER}"
)
PAPERS_STRIDE = (
    "stride in the first 1 x 1 convolution, as in the paper; where weights are uploaded it is in the 3 x 3 one, as in "
    "those that are published"
)


def _family(
    depth: int, repeats: tuple[int, int, int, int], plain: Published, excited: Published | None, *, bottleneck: bool
) -> Family:
    """`repeats` are the blocks of conv2_x to conv5_x."""
    return Family(
        name=f"resnet{depth}",
        paper=PAPER,
        build=partial(_build, repeats=repeats, bottleneck=bottleneck),
        head="fc",
        published={(1.0, 224): plain},
        excited={} if excited is None else {(1.0, 224): excited},
    )


FAMILIES = (
    _family(
        18,
        (2, 2, 2, 2),
        Published(
            macs=printed("1820"),
            params=printed("11.7"),
            why="the paper prints 1.8e9; 1820 and 11.7 are what later papers print for it",
        ),
        None,
        bottleneck=False,
    ),
    _family(
        34,
        (3, 4, 6, 3),
        Published(macs=printed("3600"), params=printed("21.8"), why=LATER),
        None,
        bottleneck=False,
    ),
    _family(
        50,
        (3, 4, 6, 3),
        Published(
            macs=printed("4100"),
            params=printed("25.6"),
            why="the paper prints 3.8e9 with the stride in each stage's first 1 x 1 convolution; published weights "
            "have it in the 3 x 3 one, which makes 4.1e9",
        ),
        Published(macs=printed("3870"), params=printed("28.1"), why=PAPERS_STRIDE),
        bottleneck=True,
    ),
    _family(
        101,
        (3, 4, 23, 3),
        Published(macs=printed("7600"), params=printed("44.5"), why=PUBLISHED_STRIDE),
        Published(macs=printed("7600"), params=None, why=PAPERS_STRIDE),
        bottleneck=True,
    ),
    _family(
        152,
        (3, 8, 36, 3),
        Published(macs=printed("11300"), params=printed("60.2"), why=PUBLISHED_STRIDE),
        Published(macs=printed("11320"), params=None, why=PAPERS_STRIDE),
        bottleneck=True,
    ),
)
