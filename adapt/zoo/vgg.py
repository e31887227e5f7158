"""VGG-16 (Simonyan & Zisserman, 2015, arXiv 1409.1556); weights are called as in torchvision."""

from adapt.zoo.alexnet import pooled_features
from adapt.zoo.architecture import Family, Published, printed
from adapt.zoo.builder import GraphBuilder

POOL = 0
COLUMN_D = (64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, 512, 512, 512, POOL, 512, 512, 512, POOL)  # Table 1


def _build(builder: GraphBuilder, classes: int, width: float) -> str:
    value, index = builder.images, 0
    for filters in COLUMN_D:
        if filters == POOL:
            value = builder.max_pool(value, f"features.{index}", 2, 2)
            index += 1
        else:
            value = builder.activation(builder.conv(value, f"features.{index}", filters, 3, bias=True), "relu")
            value = builder.end_block(value, f"blocks.{index}")
            index += 2
    value = pooled_features(builder, value, 7)
    for layer in (0, 3):
        value = builder.activation(builder.linear(value, f"classifier.{layer}", 4096), "relu")
        value = builder.dropout(value, f"classifier_dropout{layer}", 0.5)
    return builder.linear(value, "classifier.6", classes)


FAMILIES = (
    Family(
        name="vgg16",
        paper="Simonyan & Zisserman 2015, arXiv:1409.1556, Table 1 D; figures as Howard et al. 2017, Table 8",
        build=_build,
        head="classifier.6",
        published={(1.0, 224): Published(macs=printed("15300"), params=printed("138"))},
        excited={(1.0, 224): Published(macs=printed("15480"), params=None, why="no parameters are printed")},
    ),
)
