"""ShuffleNetV2 (Ma et al., 2018, arXiv 1807.11164); weights are called as in torchvision."""

from adapt.zoo.architecture import Family, Published, printed
from adapt.zoo.builder import GraphBuilder

STEM = 24
REPEATS = (4, 8, 4)
FILTERS = {
    # stages 2 to 4, conv5: Table 5
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}


def _build(builder: GraphBuilder, classes: int, width: float) -> str:
    *stages, last = FILTERS[width]
    value = builder.conv_bn_act(builder.images, "conv1.0", "conv1.1", STEM, 3, stride=2)
    value = builder.max_pool(value, "maxpool", 3, 2, padding=1)
    for stage, (filters, repeats) in enumerate(zip(stages, REPEATS, strict=True), start=2):
        value = _halving_unit(builder, value, f"stage{stage}.0", filters // 2)
        for index in range(1, repeats):
            value = _unit(builder, value, f"stage{stage}.{index}", filters // 2)
    value = builder.conv_bn_act(value, "conv5.0", "conv5.1", last)
    return builder.linear(builder.global_pool(value), "fc", classes)


def _unit(builder: GraphBuilder, value: str, path: str, filters: int) -> str:
    """Channel split: one half goes on as it is (Figure 3c)."""
    halves = {"axis": 1, "start": 0, "end": filters}
    kept = builder.apply("slice", [value], f"{path}.kept", halves)
    worked = builder.apply("slice", [value], f"{path}.worked", {**halves, "start": filters, "end": 2 * filters})
    return _joined(builder, kept, _branch2(builder, worked, path, filters, 1), path)


def _halving_unit(builder: GraphBuilder, value: str, path: str, filters: int) -> str:
    """Both branches work on all channels, at stride 2 (Figure 3d)."""
    side = builder.depthwise_bn_act(value, f"{path}.branch1.0", f"{path}.branch1.1", 3, stride=2, act=None)
    side = builder.conv_bn_act(side, f"{path}.branch1.2", f"{path}.branch1.3", filters)
    return _joined(builder, side, _branch2(builder, value, path, filters, 2), path)


def _branch2(builder: GraphBuilder, value: str, path: str, filters: int, stride: int) -> str:
    block, path = path, f"{path}.branch2"
    value = builder.conv_bn_act(value, f"{path}.0", f"{path}.1", filters)
    value = builder.depthwise_bn_act(value, f"{path}.3", f"{path}.4", 3, stride=stride, act=None)
    return builder.end_block(builder.conv_bn_act(value, f"{path}.5", f"{path}.6", filters), block)


def _joined(builder: GraphBuilder, first: str, second: str, path: str) -> str:
    value = builder.concat([first, second], f"{path}.concat")
    return builder.apply("channel_shuffle", [value], f"{path}.shuffle", {"groups": 2})


FAMILIES = (
    Family(
        name="shufflenet_v2",
        paper="Ma et al. 2018, arXiv:1807.11164, Tables 5 and 8",
        build=_build,
        has_width=True,
        widths=frozenset(FILTERS),
        head="fc",
        published={
            (1.0, 224): Published(macs=printed("146"), params=printed("2.3")),
            (0.5, 224): Published(macs=printed("41"), params=printed("1.4")),
            (1.5, 224): Published(macs=printed("299"), params=printed("3.5")),
            (2.0, 224): Published(macs=printed("591"), params=printed("7.4")),
        },
        excited={},
    ),
)
