"""AlexNet in one tower (Krizhevsky, 2014, arXiv 1404.5997); weights are called as in torchvision."""

from adapt.zoo.architecture import Family, Published, printed
from adapt.zoo.builder import GraphBuilder

LAYERS = (
    # index, filters, kernel, stride, padding, max pooling behind it
    (0, 64, 11, 4, 2, True),
    (3, 192, 5, 1, 2, True),
    (6, 384, 3, 1, 1, False),
    (8, 256, 3, 1, 1, False),
    (10, 256, 3, 1, 1, True),
)


def _build(builder: GraphBuilder, classes: int, width: float) -> str:
    value = builder.images
    for index, filters, kernel, stride, padding, pools in LAYERS:
        value = builder.conv(value, f"features.{index}", filters, kernel, stride=stride, padding=padding, bias=True)
        value = builder.end_block(builder.activation(value, "relu"), f"blocks.{index}")
        if pools:
            value = builder.max_pool(value, f"features.{index + 2}", 3, 2)
    value = pooled_features(builder, value, 6)
    for layer in (1, 4):
        value = builder.dropout(value, f"classifier_dropout{layer}", 0.5)
        value = builder.activation(builder.linear(value, f"classifier.{layer}", 4096), "relu")
    return builder.linear(value, "classifier.6", classes)


def pooled_features(builder: GraphBuilder, value: str, size: int) -> str:
    """The features of a classifier that is made for maps of `size` x `size`: larger maps are pooled to that where
    it goes evenly, any other is taken as it is, and the first linear layer has its inputs accordingly. For published
    weights that layer is what it is, and every map becomes `size` x `size`."""
    height, width = builder.size(value)
    evenly = height % size == 0 and width % size == 0
    if (height, width) != (size, size) and (evenly or builder.layout == "published"):
        value = builder.apply("adaptive_avg_pool2d", [value], "avgpool", {"output_size": size})
    return builder.flatten(value)


FAMILIES = (
    Family(
        name="alexnet",
        paper="Krizhevsky 2014, arXiv:1404.5997; figures as Howard et al. 2017, Table 9",
        build=_build,
        head="classifier.6",
        published={(1.0, 224): Published(macs=printed("720"), params=printed("60"))},
        excited={},
    ),
)
