"""SqueezeNet 1.0 and 1.1 (Iandola et al., 2016, arXiv 1602.07360); weights are called as in torchvision."""

from functools import partial

from adapt.zoo.architecture import Family, Published, printed
from adapt.zoo.builder import GraphBuilder

Fire = tuple[int, int]
POOL: Fire = (0, 0)

# squeeze, expand (both kinds): Table 1, from fire2 on
FIRES_1_0: tuple[Fire, ...] = (
    (16, 64),
    (16, 64),
    (32, 128),
    POOL,
    (32, 128),
    (48, 192),
    (48, 192),
    (64, 256),
    POOL,
    (64, 256),
)
FIRES_1_1: tuple[Fire, ...] = (
    (16, 64),
    (16, 64),
    POOL,
    (32, 128),
    (32, 128),
    POOL,
    (48, 192),
    (48, 192),
    (64, 256),
    (64, 256),
)


def _build(builder: GraphBuilder, classes: int, width: float, *, stem: tuple[int, int], fires: tuple[Fire, ...]) -> str:
    filters, kernel = stem
    value = builder.conv(builder.images, "features.0", filters, kernel, stride=2, padding=0, bias=True)
    value = builder.max_pool(builder.activation(value, "relu"), "features.2", 3, 2, ceil_mode=True)
    for index, fire in enumerate(fires, start=3):
        path = f"features.{index}"
        if fire == POOL:
            value = builder.max_pool(value, path, 3, 2, ceil_mode=True)
        else:
            value = _fire(builder, value, path, *fire)
    value = builder.conv(builder.dropout(value, "classifier_dropout", 0.5), "classifier.1", classes, bias=True)
    return builder.global_pool(builder.activation(value, "relu"))


def _fire(builder: GraphBuilder, value: str, path: str, squeezed: int, expanded: int) -> str:
    value = builder.activation(builder.conv(value, f"{path}.squeeze", squeezed, bias=True), "relu")
    ones = builder.activation(builder.conv(value, f"{path}.expand1x1", expanded, bias=True), "relu")
    threes = builder.activation(builder.conv(value, f"{path}.expand3x3", expanded, 3, bias=True), "relu")
    return builder.end_block(builder.concat([ones, threes], f"{path}.concat"), path)


PAPER = "Iandola et al. 2016, arXiv:1602.07360"

FAMILIES = (
    Family(
        name="squeezenet1_0",
        paper=f"{PAPER}, Table 1; figures as Howard et al. 2017, Table 9",
        build=partial(_build, stem=(96, 7), fires=FIRES_1_0),
        head="classifier.1",
        published={
            (1.0, 224): Published(
                macs=printed("1700"),
                params=printed("1.25"),
                why="1700 counts multiplications and additions apart: at the table's map sizes, which 227 x 227 pixels "
                "give, ours make 1665 of them",
                counted_apart=frozenset({"macs"}),
            )
        },
        excited={},
    ),
    Family(
        name="squeezenet1_1",
        paper=f"{PAPER}; the authors' release 1.1: 2.4 x less computation, slightly fewer parameters",
        build=partial(_build, stem=(64, 3), fires=FIRES_1_1),
        head="classifier.1",
        published={(1.0, 224): Published(macs=None, params=printed("1.24"), why="no mult-adds are printed")},
        excited={},
    ),
)
