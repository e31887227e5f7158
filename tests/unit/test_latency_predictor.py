"""The predictor on tables whose law is known."""

import math
import random
from dataclasses import replace

import pytest

from adapt.errors import TableDoesNotCover
from adapt.latency.predictor import fit
from adapt.latency.table import Entry, LookupTable
from adapt.latency.units import OVERHEAD, find_units
from tests.latency import CONDITIONS, GraphByHand, residual_graph

COUNTS = range(8, 129, 8)


def law_ms(channels: int, filters: int, area: int) -> float:
    """A kernel on blocks of 16 channels, which also writes its output and costs a little to start."""
    blocks = math.ceil(channels / 16) * math.ceil(filters / 16)
    return 0.002 + 4e-6 * blocks * area + 3e-8 * filters * area


def entry(operator: str, shape: str, ms: float) -> Entry:
    return Entry(operator=operator, shape=shape, ms=ms, count=2, spread=0.01)


def table(*entries: Entry, calibration: float = 1.0) -> LookupTable:
    return LookupTable(entries=entries, calibration=calibration, conditions=CONDITIONS)


def convolutions(areas: tuple[int, ...] = (8, 16), counts: range = range(8, 129, 24)) -> list[Entry]:
    return [
        entry("conv1x1s1", f"{c}x{side}x{side}>{f}x{side}x{side}/{c}", law_ms(c, f, side * side))
        for side in areas
        for c in counts
        for f in counts
    ]


def everything(hidden: tuple[int, ...] = (32, 64, 96)) -> LookupTable:
    """A table for `residual_graph`, from a few of its versions."""
    entries = {
        (unit.operator, unit.shape): entry(unit.operator, unit.shape, 0.01 + 1e-4 * (index + 1) * count)
        for count in hidden
        for index, unit in enumerate(find_units(residual_graph(count)))
    }
    return table(*entries.values(), calibration=1.5)


def test_a_law_of_blocks_is_recovered_between_the_measured_points() -> None:
    predictor = fit(table(*convolutions()))
    for channels, filters in ((24, 40), (72, 104), (120, 8)):
        predicted = predictor.predict_unit_ms("conv1x1s1", f"{channels}x16x16>{filters}x16x16/{channels}")
        assert predicted == pytest.approx(law_ms(channels, filters, 256), rel=0.01)


def test_an_image_size_that_was_never_seen_follows_from_the_others() -> None:
    predictor = fit(table(*convolutions()))
    assert predictor.predict_unit_ms("conv1x1s1", "64x12x12>64x12x12/64") == pytest.approx(
        law_ms(64, 64, 144), rel=0.05
    )


def test_fewer_channels_are_never_predicted_to_be_slower_whatever_the_noise() -> None:
    chance = random.Random(0)
    noisy = [replace(point, ms=point.ms * chance.uniform(0.6, 1.6)) for point in convolutions()]
    predictor = fit(table(*noisy))
    for other in (8, 64, 120):
        for shape in ("{n}x8x8>{m}x8x8/{n}", "{m}x8x8>{n}x8x8/{m}", "{n}x5x5>{m}x5x5/{n}"):
            times = [predictor.predict_unit_ms("conv1x1s1", shape.format(n=count, m=other)) for count in COUNTS]
            assert times == sorted(times)
            assert times[0] > 0


def test_counts_that_no_kernel_is_made_for_are_predicted_to_be_slower_than_more_channels_that_are() -> None:
    def odd_law_ms(channels: int, filters: int) -> float:
        return law_ms(channels, filters, 256) * (1 if channels % 4 == 0 else 1.8)

    counts = (8, 13, 24, 37, 56, 71, 96, 101, 128)
    points = [(c, f) for c in counts for f in (8, 40, 72, 104)]
    measured = [entry("conv1x1s1", f"{c}x16x16>{f}x16x16/{c}", odd_law_ms(c, f)) for c, f in points]
    predictor = fit(table(*measured))
    odd, even = (predictor.predict_unit_ms("conv1x1s1", f"{c}x16x16>64x16x16/{c}") for c in (62, 64))
    assert odd > 1.4 * even
    assert even == pytest.approx(odd_law_ms(64, 64), rel=0.2)


def test_a_shortcut_with_a_convolution_of_its_own_is_predicted_as_the_sum_of_its_units() -> None:
    net = GraphByHand()
    stem = net.conv("input", 16, 3, 3, 2)
    main = net.batch_norm(net.conv(stem, 32, 16, 3, 2), 32)
    shortcut = net.batch_norm(net.conv(stem, 32, 16, 1, 2), 32)
    net.linear(net.node("mean", net.node("add", main, shortcut), attributes={"keepdim": False}), 10, 32)
    graph = net.graph()
    whole = table(*(entry(unit.operator, unit.shape, 1.0) for unit in find_units(graph)))
    assert fit(whole).predict_ms(graph) == pytest.approx(len(find_units(graph)))


def test_what_was_asked_before_does_not_change_what_is_predicted_for_another_version_of_a_network() -> None:
    wide, narrow = residual_graph(96), residual_graph(48)
    narrow_of_wide = wide.with_weight_shapes(narrow.weight_shapes)
    predictor = fit(everything())
    for graph in (wide, narrow_of_wide, wide, narrow_of_wide):
        assert predictor.predict_ms(graph) == fit(everything()).predict_ms(graph)
    assert predictor.predict_ms(wide) > predictor.predict_ms(narrow_of_wide)


def test_the_order_of_entries_does_not_matter() -> None:
    whole = everything()
    shuffled = list(whole.entries)
    random.Random(1).shuffle(shuffled)
    graph = residual_graph(48)
    assert fit(replace(whole, entries=tuple(shuffled))).predict_ms(graph) == fit(whole).predict_ms(graph)


def test_a_prediction_asked_twice_is_the_same() -> None:
    predictor = fit(everything())
    assert predictor.predict_ms(residual_graph(48)) == predictor.predict_ms(residual_graph(48))


def test_the_calibration_scales_units_and_overhead_alike() -> None:
    whole = everything()
    with_overhead = replace(whole, entries=(*whole.entries, entry("overhead", "1>1", 0.5)))
    graph = residual_graph(64)
    assert fit(with_overhead).predict_ms(graph) == pytest.approx(fit(whole).predict_ms(graph) + 1.5 * 0.5)
    doubled = replace(whole, calibration=3.0)
    assert fit(doubled).predict_ms(graph) == pytest.approx(2 * fit(whole).predict_ms(graph))


def test_a_smaller_network_is_predicted_to_be_faster() -> None:
    predictor = fit(everything())
    times = [predictor.predict_ms(residual_graph(count)) for count in (96, 80, 48, 16)]
    assert times == sorted(times, reverse=True)


def test_an_operator_that_the_table_lacks_is_named() -> None:
    whole = everything()
    without = replace(whole, entries=tuple(e for e in whole.entries if not e.operator.startswith("dwconv")))
    with pytest.raises(TableDoesNotCover) as refusal:
        fit(without).predict_ms(residual_graph())
    assert refusal.value.missing == ("dwconv3x3s1+relu6",)


def test_one_entry_is_enough_for_a_prediction_above_zero() -> None:
    predictor = fit(table(entry("mean", "64x7x7>64", 1e-6)))
    assert predictor.predict_unit_ms("mean", "8x7x7>8") > 0
    assert predictor.predict_unit_ms("mean", "64x7x7>64") == pytest.approx(1e-6)


def test_the_shares_of_the_kinds_of_operators_sum_to_the_whole_whichever_was_asked_for_first() -> None:
    graph = residual_graph()
    predictor = fit(replace(everything(), entries=(*everything().entries, entry(OVERHEAD, "1>1", 0.25))))
    shares = predictor.predict_ms_by_operator(graph)
    assert shares[OVERHEAD] == 1.5 * 0.25
    assert set(shares) - {OVERHEAD} == {unit.operator for unit in find_units(graph)}
    assert math.fsum(shares.values()) == pytest.approx(predictor.predict_ms(graph))
    assert predictor.predict_ms_by_operator(graph) == shares
