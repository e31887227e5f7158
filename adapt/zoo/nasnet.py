"""NASNet-A mobile (Zoph et al., 2018, arXiv 1707.07012): N = 4, 1056 features before the classifier.

The auxiliary classifier takes part in training alone and is not built here.
"""

from adapt.zoo.architecture import Family, Published, printed
from adapt.zoo.builder import GraphBuilder

STEM, REPEATS, PENULTIMATE = 32, 4, 1056
FILTERS = PENULTIMATE // 24  # of the first normal cells: the last ones have four times as many, six times concatenated
SHIFTED = (0, 0, 0, 0, -1, 1, -1, 1)  # one pixel down and right, so that the other half is looked at too


def _build(builder: GraphBuilder, classes: int, width: float) -> str:
    stem = builder.conv_bn_act(builder.images, "conv0.conv", "conv0.bn", STEM, 3, stride=2, padding=0, act=None)
    first = _reduction_cell(builder, _squeezed(builder, stem, "stem0.conv", FILTERS // 4), stem, "stem0", FILTERS // 4)
    halved = _halved(builder, stem, "stem1.halved", FILTERS // 2)
    second = _squeezed(builder, first, "stem1.conv", FILTERS // 2)
    before, value = first, _reduction_cell(builder, second, halved, "stem1", FILTERS // 2)
    index = 0
    for stage in range(3):
        filters = FILTERS << stage
        if stage:
            path = f"reduction{stage}"
            current = _squeezed(builder, value, f"{path}.conv", filters)
            other = _squeezed(builder, before, f"{path}.before", filters)
            before, value = value, _reduction_cell(builder, current, other, path, filters)
        for _ in range(REPEATS):
            before, value = value, _normal_cell(builder, value, before, f"cell{index}", filters)
            index += 1
    value = builder.dropout(builder.global_pool(builder.activation(value, "relu")), "dropout", 0.5)
    return builder.linear(value, "classifier", classes)


def _normal_cell(builder: GraphBuilder, value: str, before: str, path: str, filters: int) -> str:
    """Figure 4, left. The output of the cell before the last one is halved where it is twice as large."""
    fit = _squeezed if builder.size(before) == builder.size(value) else _halved
    left, right = fit(builder, before, f"{path}.before", filters), _squeezed(builder, value, f"{path}.conv", filters)
    sums = [
        (_separable(builder, right, f"{path}.a5", filters, 5), _separable(builder, left, f"{path}.a3", filters, 3)),
        (_separable(builder, left, f"{path}.b5", filters, 5), _separable(builder, left, f"{path}.b3", filters, 3)),
        (_average(builder, right, f"{path}.c"), left),
        (_average(builder, left, f"{path}.d1"), _average(builder, left, f"{path}.d2")),
        (_separable(builder, right, f"{path}.e3", filters, 3), right),
    ]
    parts = [builder.add(*pair, f"{path}.add{index}") for index, pair in enumerate(sums)]
    return builder.end_block(builder.concat([left, *parts], f"{path}.concat"), path)


def _reduction_cell(builder: GraphBuilder, value: str, other: str, path: str, filters: int) -> str:
    """Figure 4, right: half the height and width."""
    five = _separable(builder, value, f"{path}.a5", filters, 5, stride=2)
    first = builder.add(five, _separable(builder, other, f"{path}.a7", filters, 7, stride=2), f"{path}.add0")
    pooled = builder.max_pool(value, f"{path}.max", 3, 2, padding=1)
    second = builder.add(pooled, _separable(builder, other, f"{path}.b7", filters, 7, stride=2), f"{path}.add1")
    averaged = _average(builder, value, f"{path}.average", stride=2)
    third = builder.add(averaged, _separable(builder, other, f"{path}.c5", filters, 5, stride=2), f"{path}.add2")
    fourth = builder.add(_average(builder, first, f"{path}.d"), second, f"{path}.add3")
    fifth = builder.add(_separable(builder, first, f"{path}.e3", filters, 3), pooled, f"{path}.add4")
    return builder.end_block(builder.concat([second, third, fourth, fifth], f"{path}.concat"), path)


def _separable(builder: GraphBuilder, value: str, path: str, filters: int, kernel: int, *, stride: int = 1) -> str:
    """Twice ReLU, depthwise, pointwise, batch norm (appendix A.4); the stride is the first one's."""
    for index, step in enumerate((stride, 1)):
        value = builder.apply("relu", [value], f"{path}.relu{index}")
        value = builder.depthwise(value, f"{path}.depthwise{index}", kernel, stride=step)
        value = builder.conv(value, f"{path}.pointwise{index}", filters)
        value = builder.batch_norm(value, f"{path}.bn{index}")
    return value


def _squeezed(builder: GraphBuilder, value: str, path: str, filters: int) -> str:
    value = builder.apply("relu", [value], f"{path}.relu")
    return builder.batch_norm(builder.conv(value, f"{path}.pointwise", filters), f"{path}.bn")


def _halved(builder: GraphBuilder, value: str, path: str, filters: int) -> str:
    """Every second pixel, from two offsets: half of the filters each."""
    value = builder.apply("relu", [value], f"{path}.relu")
    shifted = builder.apply("pad", [value], f"{path}.shifted", {"pads": SHIFTED})
    sides = [
        builder.conv(builder.avg_pool(side, f"{path}.pool{index}", 1, 2), f"{path}.conv{index}", filters // 2)
        for index, side in enumerate((value, shifted))
    ]
    return builder.batch_norm(builder.concat(sides, f"{path}.concat"), f"{path}.bn")


def _average(builder: GraphBuilder, value: str, path: str, *, stride: int = 1) -> str:
    attributes = {"kernel_size": 3, "stride": stride, "padding": 1, "count_include_pad": False}
    return builder.apply("avg_pool2d", [value], path, attributes)


FAMILIES = (
    Family(
        name="nasnet_a_mobile",
        paper="Zoph et al. 2018, arXiv:1707.07012, Table 3",
        build=_build,
        head="classifier",
        eps=0.001,
        published={(1.0, 224): Published(macs=printed("564"), params=printed("5.3"))},
        excited={},
    ),
)
