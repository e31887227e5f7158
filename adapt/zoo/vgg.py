"""VGG-11, -13, -16 and -19 (Simonyan & Zisserman, 2015, arXiv 1409.1556); weights are called as in torchvision."""

from functools import partial

from adapt.zoo.alexnet import pooled_features
from adapt.zoo.architecture import Family, Published, printed
from adapt.zoo.builder import GraphBuilder

FILTERS = (64, 128, 256, 512, 512)  # between two poolings: Table 1


def _build(builder: GraphBuilder, classes: int, width: float, *, repeats: tuple[int, ...]) -> str:
    value, index = builder.images, 0
    for filters, count in zip(FILTERS, repeats, strict=True):
        for _ in range(count):
            value = builder.activation(builder.conv(value, f"features.{index}", filters, 3, bias=True), "relu")
            value = builder.end_block(value, f"blocks.{index}")
            index += 2
        value = builder.max_pool(value, f"features.{index}", 2, 2)
        index += 1
    value = pooled_features(builder, value, 7)
    for layer in (0, 3):
        value = builder.activation(builder.linear(value, f"classifier.{layer}", 4096), "relu")
        value = builder.dropout(value, f"classifier_dropout{layer}", 0.5)
    return builder.linear(value, "classifier.6", classes)


def _family(depth: int, repeats: tuple[int, ...], published: Published, excited: Published | None = None) -> Family:
    """`repeats` are the 3 x 3 convolutions before each pooling."""
    return Family(
        name=f"vgg{depth}",
        paper="Simonyan & Zisserman 2015, arXiv:1409.1556, Tables 1 and 2; mult-adds as later papers print them",
        build=partial(_build, repeats=repeats),
        head="classifier.6",
        published={(1.0, 224): published},
        excited={} if excited is None else {(1.0, 224): excited},
    )


NO_MACS = "no mult-adds are printed"

FAMILIES = (
    # columns A, B, D and E
    _family(11, (1, 1, 2, 2, 2), Published(macs=None, params=printed("133"), why=NO_MACS)),
    _family(13, (2, 2, 2, 2, 2), Published(macs=None, params=printed("133"), why=NO_MACS)),
    _family(
        16,
        (2, 2, 3, 3, 3),
        Published(macs=printed("15300"), params=printed("138")),
        Published(macs=printed("15480"), params=None, why="no parameters are printed"),
    ),
    _family(19, (2, 2, 4, 4, 4), Published(macs=printed("19600"), params=printed("144"))),
)
