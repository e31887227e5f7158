"""Inception-v3 (Szegedy et al., 2016, arXiv 1512.00567); weights are called as in torchvision.

It has its auxiliary classifier in training alone.
"""

from collections.abc import Mapping, Sequence

from adapt.zoo.architecture import HALVES, Family, Published, printed
from adapt.zoo.auxiliary import LOSS_WEIGHT, thinned
from adapt.zoo.builder import GraphBuilder, Pair

Conv = tuple[str, int, Pair]
"""A convolution of a branch: the layer's name, filters, kernel."""

ROW, COLUMN = (1, 7), (7, 1)  # the factorised 7 x 7 of Figure 6


def _build(builder: GraphBuilder, classes: int, width: float) -> str:
    value = _conv(builder, builder.images, "Conv2d_1a_3x3", 32, 3, stride=2, padding=0)
    value = _conv(builder, value, "Conv2d_2a_3x3", 32, 3, padding=0)
    value = builder.max_pool(_conv(builder, value, "Conv2d_2b_3x3", 64, 3), "maxpool1", 3, 2)
    value = _conv(builder, value, "Conv2d_3b_1x1", 80)
    value = builder.max_pool(_conv(builder, value, "Conv2d_4a_3x3", 192, 3, padding=0), "maxpool2", 3, 2)
    for path, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        value = builder.end_block(_figure_5(builder, value, path, pooled), path)
    value = builder.end_block(_reduction_6a(builder, value, "Mixed_6a"), "Mixed_6a")
    for path, filters in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        value = builder.end_block(_figure_6(builder, value, path, filters), path)
    value = builder.end_block(_reduction_7a(builder, value, "Mixed_7a"), "Mixed_7a")
    for path in ("Mixed_7b", "Mixed_7c"):
        value = builder.end_block(_figure_7(builder, value, path), path)
    value = builder.dropout(builder.global_pool(value), "dropout", 0.5)
    return builder.linear(value, "fc", classes)


def _conv(
    builder: GraphBuilder,
    value: str,
    path: str,
    filters: int,
    kernel: Pair = 1,
    *,
    stride: int = 1,
    padding: int | None = None,
) -> str:
    return builder.conv_bn_act(value, f"{path}.conv", f"{path}.bn", filters, kernel, stride=stride, padding=padding)


def _branch(builder: GraphBuilder, value: str, path: str, convs: Sequence[Conv]) -> str:
    for name, filters, kernel in convs:
        value = _conv(builder, value, f"{path}.{name}", filters, kernel)
    return value


def _projected(builder: GraphBuilder, value: str, path: str, filters: int) -> str:
    return _conv(builder, builder.avg_pool(value, f"{path}.pool", 3, 1, padding=1), f"{path}.branch_pool", filters)


def _figure_5(builder: GraphBuilder, value: str, path: str, pooled: int) -> str:
    double = (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3))
    branches = [
        _branch(builder, value, path, (("branch1x1", 64, 1),)),
        _branch(builder, value, path, (("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5))),
        _branch(builder, value, path, double),
        _projected(builder, value, path, pooled),
    ]
    return builder.concat(branches, f"{path}.concat")


def _reduction_6a(builder: GraphBuilder, value: str, path: str) -> str:
    double = _branch(builder, value, path, (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3)))
    branches = [
        _conv(builder, value, f"{path}.branch3x3", 384, 3, stride=2, padding=0),
        _conv(builder, double, f"{path}.branch3x3dbl_3", 96, 3, stride=2, padding=0),
        builder.max_pool(value, f"{path}.pool", 3, 2),
    ]
    return builder.concat(branches, f"{path}.concat")


def _figure_6(builder: GraphBuilder, value: str, path: str, filters: int) -> str:
    single = (("branch7x7_1", filters, 1), ("branch7x7_2", filters, ROW), ("branch7x7_3", 192, COLUMN))
    double = (
        ("branch7x7dbl_1", filters, 1),
        ("branch7x7dbl_2", filters, COLUMN),
        ("branch7x7dbl_3", filters, ROW),
        ("branch7x7dbl_4", filters, COLUMN),
        ("branch7x7dbl_5", 192, ROW),
    )
    branches = [
        _branch(builder, value, path, (("branch1x1", 192, 1),)),
        _branch(builder, value, path, single),
        _branch(builder, value, path, double),
        _projected(builder, value, path, 192),
    ]
    return builder.concat(branches, f"{path}.concat")


def _reduction_7a(builder: GraphBuilder, value: str, path: str) -> str:
    seven = (("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, ROW), ("branch7x7x3_3", 192, COLUMN))
    three = _branch(builder, value, path, (("branch3x3_1", 192, 1),))
    branches = [
        _conv(builder, three, f"{path}.branch3x3_2", 320, 3, stride=2, padding=0),
        _conv(builder, _branch(builder, value, path, seven), f"{path}.branch7x7x3_4", 192, 3, stride=2, padding=0),
        builder.max_pool(value, f"{path}.pool", 3, 2),
    ]
    return builder.concat(branches, f"{path}.concat")


def _figure_7(builder: GraphBuilder, value: str, path: str) -> str:
    three = _branch(builder, value, path, (("branch3x3_1", 384, 1),))
    double = _branch(builder, value, path, (("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3)))
    branches = [
        _branch(builder, value, path, (("branch1x1", 320, 1),)),
        _fan(builder, three, f"{path}.branch3x3_2"),
        _fan(builder, double, f"{path}.branch3x3dbl_3"),
        _projected(builder, value, path, 192),
    ]
    return builder.concat(branches, f"{path}.concat")


def _fan(builder: GraphBuilder, value: str, path: str) -> str:
    """1 x 3 and 3 x 1 side by side."""
    sides = [_conv(builder, value, f"{path}a", 384, (1, 3)), _conv(builder, value, f"{path}b", 384, (3, 1))]
    return builder.concat(sides, f"{path}.concat")


def _auxiliary(builder: GraphBuilder, classes: int) -> Mapping[str, float]:
    """Figure 8. Its 5 x 5 convolution takes in the whole map, of smaller images a smaller one."""
    value = _conv(builder, thinned(builder, "Mixed_6e_concat", "AuxLogits.pool"), "AuxLogits.conv0", 128)
    height, width = builder.size(value)
    value = _conv(builder, value, "AuxLogits.conv1", 768, (min(5, height), min(5, width)), padding=0)
    return {builder.linear(builder.global_pool(value, "AuxLogits.avgpool"), "AuxLogits.fc", classes): LOSS_WEIGHT}


FAMILIES = (
    Family(
        name="inception_v3",
        paper="Szegedy et al. 2016, arXiv:1512.00567, Table 1",
        build=_build,
        image_shape=(3, 299, 299),
        head="fc",
        eps=0.001,
        normalization=HALVES,
        auxiliary=_auxiliary,
        training_only=("AuxLogits.",),
        published={
            (1.0, 299): Published(
                macs=printed("5700"),
                params=printed("23.8"),
                why="the paper prints 5e9; these are what later papers print, without the auxiliary classifier",
            )
        },
        excited={},
    ),
)
