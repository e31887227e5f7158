"""DenseNet-121 (Huang et al., 2017, arXiv 1608.06993); weights are called as in torchvision."""

from adapt.zoo.architecture import Family, Published, printed
from adapt.zoo.builder import GraphBuilder

GROWTH, BOTTLENECK = 32, 4
LAYERS = (6, 12, 24, 16)  # of each dense block: Table 1


def _build(builder: GraphBuilder, classes: int, width: float) -> str:
    value = builder.conv_bn_act(builder.images, "features.conv0", "features.norm0", 2 * GROWTH, 7, stride=2)
    value = builder.max_pool(value, "features.pool0", 3, 2, padding=1)
    for block, layers in enumerate(LAYERS, start=1):
        for layer in range(1, layers + 1):
            path = f"features.denseblock{block}.denselayer{layer}"
            value = builder.concat([value, _layer(builder, value, path)], f"{path}.concat")
        if block < len(LAYERS):
            path = f"features.transition{block}"
            value = _norm_act_conv(builder, value, f"{path}.norm", f"{path}.conv", builder.channels(value) // 2)
            value = builder.avg_pool(value, f"{path}.pool", 2, 2)
    value = builder.activation(builder.batch_norm(value, "features.norm5"), "relu")
    return builder.linear(builder.global_pool(value), "classifier", classes)


def _layer(builder: GraphBuilder, value: str, path: str) -> str:
    value = _norm_act_conv(builder, value, f"{path}.norm1", f"{path}.conv1", BOTTLENECK * GROWTH)
    return builder.end_block(_norm_act_conv(builder, value, f"{path}.norm2", f"{path}.conv2", GROWTH, 3), path)


def _norm_act_conv(
    builder: GraphBuilder, value: str, norm_path: str, conv_path: str, filters: int, kernel: int = 1
) -> str:
    value = builder.activation(builder.batch_norm(value, norm_path), "relu")
    return builder.conv(value, conv_path, filters, kernel)


FAMILIES = (
    Family(
        name="densenet121",
        paper="Huang et al. 2017, arXiv:1608.06993, Table 1",
        build=_build,
        head="classifier",
        older_names={r"(denselayer\d+\.(?:norm|conv))\.(\d)": r"\1\2"},  # of torch 0.3
        published={
            (1.0, 224): Published(
                macs=printed("2870"),
                params=printed("8.0"),
                why="the paper prints neither for this depth; these are what later papers print",
            )
        },
        excited={},
    ),
)
