"""Paired measurement on a machine whose every slowness is the test's own."""

import random

import pytest

from adapt.errors import Stopped
from adapt.latency.measure import measure, median_interval
from tests.latency import StandInRuntime


def test_a_steady_machine_gives_the_figures_themselves() -> None:
    runtime = StandInRuntime()
    found = measure(b"1.5", b"3.0", runtime, clock=runtime.clock)
    assert (found.ratio, found.ratio_low, found.ratio_high, found.spread) == (0.5, 0.5, 0.5, 0.0)
    assert (found.ms, found.original_ms) == (1.5, 3.0)
    assert found.runs >= 15


def test_a_machine_that_turns_twice_as_slow_midway_does_not_change_the_ratio() -> None:
    runtime = StandInRuntime(lambda seconds: 1.0 if seconds < 0.2 else 2.0)
    found = measure(b"1.5", b"3.0", runtime, original_then_ms=3.0, clock=runtime.clock)
    assert found.ratio == pytest.approx(0.5, rel=0.01)
    assert found.ms == pytest.approx(1.5, rel=0.01)
    assert found.ratio_low <= 0.5 <= found.ratio_high


def test_a_steady_drift_cancels() -> None:
    runtime = StandInRuntime(lambda seconds: 1.0 + seconds)
    found = measure(b"2.0", b"2.0", runtime, clock=runtime.clock)
    assert found.ratio == pytest.approx(1.0, abs=0.01)


def test_latency_is_told_in_the_milliseconds_of_the_first_measurement() -> None:
    slower_today = StandInRuntime(lambda seconds: 1.7)
    found = measure(b"1.5", b"3.0", slower_today, original_then_ms=3.0, clock=slower_today.clock)
    assert found.ms == pytest.approx(1.5)
    assert found.original_ms == pytest.approx(5.1)


def test_a_busy_machine_is_measured_for_longer_and_its_interval_stays_honest() -> None:
    chance = random.Random(0)
    busy = StandInRuntime(lambda seconds: chance.choice((1.0, 1.0, 1.0, 1.3, 2.0)))
    found = measure(b"9.0", b"10.0", busy, clock=busy.clock)
    assert busy.now_s > 0.5
    assert found.ratio_low <= 0.9 <= found.ratio_high
    assert found.ratio_high > found.ratio_low
    assert found.spread > 0


def test_it_ends_when_its_time_is_over_however_noisy() -> None:
    chance = random.Random(0)
    hopeless = StandInRuntime(lambda seconds: chance.uniform(0.1, 10.0))
    found = measure(b"10.0", b"10.0", hopeless, maximum_seconds=2.0, clock=hopeless.clock)
    assert hopeless.now_s < 4.0
    assert found.ratio_high / found.ratio_low > 1.02


def test_it_stops_between_two_blocks_and_closes_its_sessions() -> None:
    runtime = StandInRuntime()
    with pytest.raises(Stopped):
        measure(b"1.0", b"1.0", runtime, stop=lambda: True, clock=runtime.clock)
    assert [session.closed for session in runtime.sessions] == [True, True]


@pytest.mark.parametrize(("count", "interval"), [(1, (0, 0)), (5, (0, 4)), (6, (0, 5)), (9, (1, 7)), (15, (3, 11))])
def test_the_interval_has_the_ranks_of_the_sign_tests_tables(count: int, interval: tuple[int, int]) -> None:
    assert median_interval(list(range(count))) == interval


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    chance = random.Random(0)
    hits = 0
    for _ in range(400):
        low, high = median_interval([chance.expovariate(1.0) for _ in range(25)])
        hits += low <= 0.6931 <= high
    assert hits / 400 > 0.93
