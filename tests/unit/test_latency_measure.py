"""Paired measurement on a machine whose every slowness is the test's own."""

import random

import pytest

from adapt.errors import Stopped
from adapt.latency.bench import Bench
from adapt.latency.intervals import median_interval
from adapt.latency.measure import PairedMeasurement, evaluated
from adapt.latency.reading import Plan
from tests.latency import StandInRuntime


def measured(
    candidate: bytes,
    original: bytes,
    runtime: StandInRuntime,
    original_then_ms: float | None = None,
    plan: Plan = Plan(),
) -> PairedMeasurement:
    return evaluated(Bench(runtime, runtime.clock).read(candidate, original, plan), original_then_ms)


def test_a_steady_machine_gives_the_figures_themselves() -> None:
    runtime = StandInRuntime()
    found = measured(b"1.5", b"3.0", runtime)
    assert (found.ratio, found.ratio_low, found.ratio_high, found.spread) == (0.5, 0.5, 0.5, 0.0)
    assert (found.ms, found.original_ms) == (1.5, 3.0)
    assert found.runs >= 15


def test_a_machine_that_turns_twice_as_slow_midway_does_not_change_the_ratio() -> None:
    runtime = StandInRuntime(lambda seconds: 1.0 if seconds < 0.2 else 2.0)
    found = measured(b"1.5", b"3.0", runtime, original_then_ms=3.0)
    assert found.ratio == pytest.approx(0.5, rel=0.01)
    assert found.ms == pytest.approx(1.5, rel=0.01)
    assert found.ratio_low <= 0.5 <= found.ratio_high


def test_a_steady_drift_cancels() -> None:
    runtime = StandInRuntime(lambda seconds: 1.0 + seconds)
    found = measured(b"2.0", b"2.0", runtime)
    assert found.ratio == pytest.approx(1.0, abs=0.01)


def test_latency_is_told_in_the_milliseconds_of_the_first_measurement() -> None:
    slower_today = StandInRuntime(lambda seconds: 1.7)
    found = measured(b"1.5", b"3.0", slower_today, original_then_ms=3.0)
    assert found.ms == pytest.approx(1.5)
    assert found.original_ms == pytest.approx(5.1)


def test_a_busy_machine_is_measured_for_longer_and_its_interval_stays_honest() -> None:
    chance = random.Random(0)
    busy = StandInRuntime(lambda seconds: chance.uniform(1.0, 1.2))
    found = measured(b"9.0", b"10.0", busy)
    assert busy.now_s > 0.5
    assert found.ratio_low <= 0.9 <= found.ratio_high
    assert found.ratio_high > found.ratio_low
    assert found.spread > 0


def test_moments_in_which_the_machine_was_busy_do_not_count_and_are_taken_again() -> None:
    chance = random.Random(0)
    now_and_then = StandInRuntime(lambda seconds: 3.0 if chance.random() < 0.2 else 1.0)
    found = measured(b"9.0", b"10.0", now_and_then)
    assert (found.ratio, found.ratio_low, found.ratio_high) == (0.9, 0.9, 0.9)
    assert 0.1 < found.disturbed < 0.6


def test_the_reference_stays_open_from_one_reading_to_the_next() -> None:
    runtime = StandInRuntime()
    bench = Bench(runtime, runtime.clock)
    for candidate in (b"1.0", b"2.0", b"3.0"):
        bench.read(candidate, b"4.0", Plan())
    assert [session.closed for session in runtime.sessions] == [False, True, True, True]
    bench.close()
    assert runtime.sessions[0].closed


def test_it_ends_when_its_time_is_over_however_noisy() -> None:
    chance = random.Random(0)
    hopeless = StandInRuntime(lambda seconds: chance.uniform(0.1, 10.0))
    found = measured(b"10.0", b"10.0", hopeless, plan=Plan(maximum_s=2.0))
    assert hopeless.now_s < 4.0
    assert found.ratio_high / found.ratio_low > 1.02


def test_it_stops_between_two_blocks_and_closes_its_sessions() -> None:
    runtime = StandInRuntime()
    bench = Bench(runtime, runtime.clock)
    with pytest.raises(Stopped):
        bench.read(b"1.0", b"1.0", Plan(), stop=lambda: True)
    bench.close()
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
