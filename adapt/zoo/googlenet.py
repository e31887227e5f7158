"""GoogLeNet (Szegedy et al., 2015, arXiv 1409.4842): as in the paper, and as in torchvision (batch norm, 3 x 3).

Both have the paper's two auxiliary classifiers, in training alone.
"""

from collections.abc import Callable, Mapping
from functools import partial

from adapt.zoo.architecture import HALVES, Family, Published, printed
from adapt.zoo.auxiliary import LOSS_WEIGHT, thinned
from adapt.zoo.builder import GraphBuilder

POOL = ""
ROWS = (
    # inception, #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj: Table 1
    ("3a", 64, 96, 128, 16, 32, 32),
    ("3b", 128, 128, 192, 32, 96, 64),
    (POOL, 0, 0, 0, 0, 0, 0),
    ("4a", 192, 96, 208, 16, 48, 64),
    ("4b", 160, 112, 224, 24, 64, 64),
    ("4c", 128, 128, 256, 24, 64, 64),
    ("4d", 112, 144, 288, 32, 64, 64),
    ("4e", 256, 160, 320, 32, 128, 128),
    (POOL, 0, 0, 0, 0, 0, 0),
    ("5a", 256, 160, 320, 32, 128, 128),
    ("5b", 384, 192, 384, 48, 128, 128),
)
DROPOUT = 0.4
AUXILIARY = {"aux1": "inception4a_concat", "aux2": "inception4d_concat"}  # sec. 5

Conv = Callable[..., str]
"""(builder, value, path, filters, kernel, stride) -> value: a convolution with what stands behind it."""


def _plain(builder: GraphBuilder, value: str, path: str, filters: int, kernel: int = 1, stride: int = 1) -> str:
    value = builder.conv(value, f"{path}.conv", filters, kernel, stride=stride, bias=True)
    return builder.activation(value, "relu")


def _normed(builder: GraphBuilder, value: str, path: str, filters: int, kernel: int = 1, stride: int = 1) -> str:
    return builder.conv_bn_act(value, f"{path}.conv", f"{path}.bn", filters, kernel, stride=stride)


def _build(
    builder: GraphBuilder, classes: int, width: float, *, conv: Conv, large: int, last_pool: int, norms: bool
) -> str:
    """`large` is the kernel of the branches that the paper gives 5 x 5; `norms` are local response norms."""
    value = builder.max_pool(conv(builder, builder.images, "conv1", 64, 7, 2), "maxpool1", 3, 2, ceil_mode=True)
    if norms:
        value = _response_norm(builder, value, "norm1")
    value = conv(builder, conv(builder, value, "conv2", 64), "conv3", 192, 3)
    if norms:
        value = _response_norm(builder, value, "norm2")
    value = builder.max_pool(value, "maxpool2", 3, 2, ceil_mode=True)
    pools = 2
    for name, *filters in ROWS:
        if name == POOL:
            pools += 1
            kernel = last_pool if pools == 4 else 3
            value = builder.max_pool(value, f"maxpool{pools}", kernel, 2, ceil_mode=True)
        else:
            value = _inception(builder, value, f"inception{name}", filters, conv, large)
    value = builder.dropout(builder.global_pool(value), "dropout", DROPOUT)
    return builder.linear(value, "fc", classes)


def _inception(builder: GraphBuilder, value: str, path: str, filters: list[int], conv: Conv, large: int) -> str:
    ones, reduced3, threes, reduced5, fives, projected = filters
    branches = [
        conv(builder, value, f"{path}.branch1", ones),
        conv(builder, conv(builder, value, f"{path}.branch2.0", reduced3), f"{path}.branch2.1", threes, 3),
        conv(builder, conv(builder, value, f"{path}.branch3.0", reduced5), f"{path}.branch3.1", fives, large),
    ]
    pooled = builder.max_pool(value, f"{path}.branch4.0", 3, 1, padding=1, ceil_mode=True)
    branches.append(conv(builder, pooled, f"{path}.branch4.1", projected))
    return builder.end_block(builder.concat(branches, f"{path}.concat"), path)


def _response_norm(builder: GraphBuilder, value: str, path: str) -> str:
    attributes = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0}
    return builder.apply("local_response_norm", [value], path, attributes)


def _auxiliary(builder: GraphBuilder, classes: int, *, conv: Conv) -> Mapping[str, float]:
    return {_classifier(builder, value, path, classes, conv): LOSS_WEIGHT for path, value in AUXILIARY.items()}


def _classifier(builder: GraphBuilder, value: str, path: str, classes: int, conv: Conv) -> str:
    value = conv(builder, thinned(builder, value, f"{path}.pool"), f"{path}.conv", 128)
    value = builder.activation(builder.linear(builder.flatten(value), f"{path}.fc1", 1024), "relu")
    return builder.linear(builder.dropout(value, f"{path}.dropout", 0.7), f"{path}.fc2", classes)


PAPER = "Szegedy et al. 2015, arXiv:1409.4842, Table 1; figures as Howard et al. 2017, Table 8"

FAMILIES = (
    Family(
        name="googlenet",
        paper=PAPER,
        build=partial(_build, conv=_plain, large=5, last_pool=3, norms=True),
        auxiliary=partial(_auxiliary, conv=_plain),
        head="fc",
        published={(1.0, 224): Published(macs=printed("1550"), params=printed("6.8"))},
        excited={},
    ),
    Family(
        name="googlenet_3x3",
        paper=PAPER,
        build=partial(_build, conv=_normed, large=3, last_pool=2, norms=False),
        auxiliary=partial(_auxiliary, conv=_normed),
        head="fc",
        eps=0.001,
        normalization=HALVES,
        training_only=("aux1.", "aux2."),
        published={
            (1.0, 224): Published(
                macs=printed("1550"),
                params=printed("6.8"),
                why="the figures are of the paper's 5 x 5 branches; published weights have 3 x 3, which takes less",
                counted_apart=frozenset({"macs"}),
            )
        },
        excited={},
    ),
)
