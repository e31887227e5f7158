"""Paired measurement on a machine whose every slowness is the test's own."""

import json
import random

import pytest

from adapt.errors import ReadingRefused, Stopped
from adapt.latency.bench import Bench
from adapt.latency.intervals import median_interval, quick_runs_mean
from adapt.latency.measure import PairedMeasurement, evaluated
from adapt.latency.reading import Plan, reading_from_document
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
    found = measured(b"9.0", b"10.0", now_and_then, plan=Plan(minimum_s=2.0))
    assert (found.ratio, found.ratio_low, found.ratio_high) == (0.9, 0.9, 0.9)
    assert 0.1 < found.disturbed < 0.6


def test_what_was_taken_while_the_machine_was_busy_throughout_is_told_by_the_reference() -> None:
    runtime = StandInRuntime(lambda seconds: 1.0)
    bench = Bench(runtime, runtime.clock)
    bench.read(b"5.0", b"10.0", Plan(minimum_s=1.0))
    beginning = runtime.now_s
    busy_until = beginning + 1.5
    runtime.slowness = lambda seconds: 1.6 if seconds < busy_until else 1.0
    found = evaluated(bench.read(b"5.0", b"10.0", Plan(minimum_pairs=6, minimum_s=0.0)))
    assert runtime.now_s > busy_until
    assert (found.ratio, found.original_ms) == (0.5, 10.0)
    assert 0.5 < found.disturbed < 1.0


def test_a_reading_crosses_as_json_with_the_level_that_it_is_judged_by() -> None:
    reading = Bench(StandInRuntime()).read(b"5.0", b"10.0", Plan())
    assert reading.reference_level_ms == 10.0
    document = json.loads(json.dumps(reading.to_document()))
    assert reading_from_document(document) == reading
    assert reading_from_document({**document, "reference_level_ms": None}).reference_level_ms is None
    with pytest.raises(ReadingRefused, match="reference_level_ms"):
        reading_from_document({**document, "reference_level_ms": -1.0})


def test_a_machine_that_stays_busy_is_measured_as_it_is_and_that_is_said() -> None:
    runtime = StandInRuntime()
    bench = Bench(runtime, runtime.clock)
    bench.read(b"5.0", b"10.0", Plan(minimum_s=1.0))
    runtime.slowness = lambda seconds: 1.6
    found = evaluated(bench.read(b"5.0", b"10.0", Plan(maximum_s=2.0, patience=1.0)))
    assert (found.ratio, found.disturbed) == (pytest.approx(0.5), 1.0)
    assert found.original_ms == pytest.approx(16.0)
    for _ in range(8):  # by then it is believed
        found = evaluated(bench.read(b"5.0", b"10.0", Plan(maximum_s=2.0)))
    assert found.disturbed == 0.0


def test_kernels_are_averaged_over_the_runs_that_were_quick_as_a_whole() -> None:
    convolution, pooling = [4.0, 4.0, 4.2, 8.0, 3.0], [1.0, 1.0, 1.0, 2.0, 9.0]
    assert quick_runs_mean([convolution, pooling]) == [pytest.approx(12.2 / 3), 1.0]


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
    assert 2.0 <= hopeless.now_s < 9.0
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
