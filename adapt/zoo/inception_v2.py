"""Inception-v2, the batch-normalised Inception (Ioffe & Szegedy, 2015, arXiv 1502.03167)."""

from adapt.zoo.architecture import Family, Published, printed
from adapt.zoo.builder import GraphBuilder

ROWS = (
    # inception, stride, #1x1, #3x3 reduce, #3x3, double reduce, double #3x3, pool, projection: Figure 5
    ("3a", 1, 64, 64, 64, 64, 96, "avg", 32),
    ("3b", 1, 64, 64, 96, 64, 96, "avg", 64),
    ("3c", 2, 0, 128, 160, 64, 96, "max", 0),
    ("4a", 1, 224, 64, 96, 96, 128, "avg", 128),
    ("4b", 1, 192, 96, 128, 96, 128, "avg", 128),
    ("4c", 1, 160, 128, 160, 128, 160, "avg", 96),
    ("4d", 1, 96, 128, 192, 160, 192, "avg", 96),
    ("4e", 2, 0, 128, 192, 192, 256, "max", 0),
    ("5a", 1, 352, 192, 320, 160, 224, "avg", 128),
    ("5b", 1, 352, 192, 320, 192, 224, "max", 128),
)


def _build(builder: GraphBuilder, classes: int, width: float) -> str:
    value = _conv(builder, builder.images, "conv1", 64, 7, 2)
    value = builder.max_pool(value, "maxpool1", 3, 2, ceil_mode=True)
    value = _conv(builder, _conv(builder, value, "conv2.reduce", 64), "conv2", 192, 3)
    value = builder.max_pool(value, "maxpool2", 3, 2, ceil_mode=True)
    for name, stride, ones, reduced, threes, double_reduced, doubled, pool, projected in ROWS:
        path, branches = f"inception{name}", []
        if ones:
            branches.append(_conv(builder, value, f"{path}.ones", ones))
        before = _conv(builder, value, f"{path}.threes.reduce", reduced)
        branches.append(_conv(builder, before, f"{path}.threes", threes, 3, stride))
        before = _conv(builder, value, f"{path}.doubled.reduce", double_reduced)
        before = _conv(builder, before, f"{path}.doubled.first", doubled, 3)
        branches.append(_conv(builder, before, f"{path}.doubled", doubled, 3, stride))
        branches.append(_pooled(builder, value, path, pool, stride, projected))
        value = builder.end_block(builder.concat(branches, f"{path}.concat"), path)
    return builder.linear(builder.global_pool(value), "fc", classes)


def _conv(builder: GraphBuilder, value: str, path: str, filters: int, kernel: int = 1, stride: int = 1) -> str:
    return builder.conv_bn_act(value, f"{path}.conv", f"{path}.bn", filters, kernel, stride=stride)


def _pooled(builder: GraphBuilder, value: str, path: str, pool: str, stride: int, projected: int) -> str:
    """Where nothing is projected the pooled channels pass through, at half the resolution."""
    if pool == "avg":
        pooled = builder.avg_pool(value, f"{path}.pool", 3, stride, padding=1)
    else:
        pooled = builder.max_pool(value, f"{path}.pool", 3, stride, padding=1)
    return _conv(builder, pooled, f"{path}.project", projected) if projected else pooled


FAMILIES = (
    Family(
        name="inception_v2",
        paper="Ioffe & Szegedy 2015, arXiv:1502.03167, Figure 5",
        build=_build,
        head="fc",
        eps=0.001,
        published={
            (1.0, 224): Published(
                macs=printed("2000"),
                params=printed("11.2"),
                why="the paper prints no totals; 2.0e9 and 11.2 M are what later papers print for it",
            )
        },
        excited={(1.0, 224): Published(macs=printed("2040"), params=None, why="no parameters are printed")},
    ),
)
