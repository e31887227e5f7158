"""What can be said of a budget before anything is trained: from counts at once, from latencies as far as known."""

import math
from dataclasses import replace

import pytest

from adapt.budget import Share
from adapt.errors import ScheduleTooShort, TableDoesNotCover
from adapt.graph.costs import costs
from adapt.latency.whole_networks import WholeNetwork
from adapt.spec import RESOURCES, GroupLimits, Race, Search, Settings, Step, TrainingSpeed
from adapt.training import scoring
from app.feasibility import duration
from app.feasibility.assessment import KnownLatency, LatencyKnown, Pace, assess
from app.feasibility.duration import ImageCounts, estimate_seconds, image_counts
from app.models.records import Structure
from tests.feasible import NETWORK, SETTINGS, STRUCTURE, smallest, table

ORIGINAL = costs(NETWORK.graph)


def whole(ms: float) -> WholeNetwork:
    return WholeNetwork(ms=ms, low=0.99 * ms, high=1.01 * ms, original_ms=10.0)


def test_counts_are_judged_at_once_and_exactly() -> None:
    least = costs(smallest()).params
    within = assess(STRUCTURE, SETTINGS, {"params": float(least)}, None)
    assert (within.feasible, within.basis, within.reason) == (True, "predicted", None)
    assert within.original["params"] == ORIGINAL.params
    assert within.smallest["params"] == least
    assert within.budget == {"params": least}
    assert within.iterations_estimate is not None
    assert within.iterations_estimate > 1
    below = assess(STRUCTURE, SETTINGS, {"params": least - 1.0}, None)
    assert (below.feasible, below.certain, below.iterations_estimate) == (False, True, None)
    assert below.reason is not None
    assert f"{least:g}" in below.reason
    assert below.unreachable is not None
    assert below.unreachable.resource == "params"


def test_a_share_is_of_the_original() -> None:
    answer = assess(STRUCTURE, SETTINGS, {"macs": Share(0.5)}, None)
    assert answer.budget == {"macs": ORIGINAL.macs * 0.5}


def test_a_budget_that_the_original_meets_needs_no_iteration() -> None:
    answer = assess(STRUCTURE, SETTINGS, {"macs": Share(1.0)}, None)
    assert (answer.feasible, answer.iterations_estimate) == (True, 0)


def test_settings_bound_what_is_reachable() -> None:
    frozen = replace(SETTINGS, exclude=("*",))
    answer = assess(STRUCTURE, frozen, {"macs": Share(0.99)}, None)
    assert answer.feasible is False
    assert answer.smallest["macs"] == ORIGINAL.macs


@pytest.mark.parametrize(
    "bounds",
    [
        {"max_removed": 0.5},
        {"group_limits": {"*": GroupLimits(max_removed=0.5)}},
        {"group_limits": {"conv0": GroupLimits(min_channels=16)}},
        {"min_channels": 12},
    ],
)
def test_what_may_not_be_removed_is_not_counted_as_reachable(bounds: dict) -> None:
    least = costs(smallest()).params
    answer = assess(STRUCTURE, replace(SETTINGS, **bounds), {"params": float(least)}, None)
    assert (answer.feasible, answer.certain) == (False, True)
    assert (answer.smallest["params"] or 0) > least


def test_unknown_groups_are_waited_for() -> None:
    answer = assess(Structure(graph=NETWORK.graph, groups=None), SETTINGS, {"macs": Share(0.5)}, None)
    assert (answer.feasible, answer.basis, answer.retry_after_seconds) == (None, None, 2)
    assert answer.original["macs"] == ORIGINAL.macs
    assert answer.budget == {"macs": ORIGINAL.macs * 0.5}
    assert answer.reason is not None


def test_an_unknown_latency_is_measured_first_but_a_hopeless_count_is_said_at_once() -> None:
    waiting = assess(STRUCTURE, SETTINGS, {"latency_ms": Share(0.5), "params": Share(0.9)}, None)
    assert (waiting.feasible, waiting.original["latency_ms"], waiting.budget["latency_ms"]) == (None, None, None)
    assert waiting.retry_after_seconds is not None
    hopeless = assess(STRUCTURE, SETTINGS, {"latency_ms": 1.0, "params": 1.0}, None)
    assert (hopeless.feasible, hopeless.certain) == (False, True)


def test_a_fixed_table_is_certain() -> None:
    known = KnownLatency(table=table(), fixed=True)
    free = assess(STRUCTURE, SETTINGS, {"latency_ms": Share(0.9)}, known)
    low, high = free.smallest["latency_ms"], free.original["latency_ms"]
    assert low is not None
    assert high is not None
    assert 0 < low < high
    assert (free.feasible, free.basis) == (True, "predicted")
    below = assess(STRUCTURE, SETTINGS, {"latency_ms": low * 0.99}, known)
    assert (below.feasible, below.certain) == (False, True)


def test_a_fixed_table_without_the_operators_is_refused() -> None:
    known = KnownLatency(table=replace(table(), entries=table().entries[:1]), fixed=True)
    with pytest.raises(TableDoesNotCover):
        assess(STRUCTURE, SETTINGS, {"latency_ms": Share(0.9)}, known)


def test_measured_figures_of_the_same_smallest_network_are_certain_and_labelled() -> None:
    known = KnownLatency(table=table(), fixed=False, original=whole(10.0), least=(whole(4.0), whole(4.5)))
    yes = assess(STRUCTURE, SETTINGS, {"latency_ms": 4.05}, known)
    assert (yes.feasible, yes.basis, yes.original["latency_ms"], yes.smallest["latency_ms"]) == (
        True,
        "measured",
        10.0,
        4.0,
    )
    no = assess(STRUCTURE, SETTINGS, {"latency_ms": 3.5}, known)
    assert (no.feasible, no.certain) == (False, True)
    nearly = assess(STRUCTURE, SETTINGS, {"latency_ms": 4.0}, known)
    assert (nearly.feasible, nearly.certain) == (False, False)
    assert "up to 4.04" in (nearly.reason or ""), "the upper end of the interval is what has to be within the budget"
    assert yes.latency["smallest"] == LatencyKnown(measured=4.0, low=3.96, high=4.04)
    assert assess(STRUCTURE, SETTINGS, {"latency_ms": 1e-6}, known).certain


def test_for_other_settings_the_table_predicts_in_units_of_the_measured_original() -> None:
    known = KnownLatency(table=table(), fixed=False, original=whole(10.0))
    answer = assess(STRUCTURE, replace(SETTINGS, exclude=("conv2",)), {"latency_ms": 0.001}, known)
    assert (answer.feasible, answer.basis, answer.certain) == (False, "predicted", False)
    assert math.isclose(answer.original["latency_ms"] or 0, 10.0)
    assert answer.latency["smallest"].measured is None
    assert answer.latency["smallest"].predicted == answer.smallest["latency_ms"]


def test_a_schedule_that_ends_before_the_budget_is_refused_with_one_that_does_not() -> None:
    short = replace(SETTINGS, schedule=dict.fromkeys(RESOURCES, Step(initial=0.01, decay=0.5)))
    with pytest.raises(ScheduleTooShort, match="decay of"):
        assess(STRUCTURE, short, {"macs": Share(0.5)}, None)


@pytest.mark.parametrize("structure", [STRUCTURE, replace(STRUCTURE, groups=None)])
def test_a_schedule_that_ends_too_early_is_refused_before_latency_or_groups_are_known(structure: Structure) -> None:
    short = replace(SETTINGS, schedule=dict.fromkeys(RESOURCES, Step(initial=0.01, decay=0.5)))
    for budget in ({"latency_ms": Share(0.5)}, {"latency_ms": 5.0, "macs": Share(0.5)}):
        with pytest.raises(ScheduleTooShort):
            assess(structure, short, budget, None)
    assert assess(structure, short, {"latency_ms": Share(0.99), "macs": Share(0.99)}, None).feasible is None


PACE = Pace(speed=TrainingSpeed(ms_per_image=1.0, processes=2), images=ImageCounts(train=1000, holdout=200, test=300))


def seconds(asked=None, pace=PACE, latency=None, **changes) -> float:
    answer = assess(STRUCTURE, replace(SETTINGS, **changes), asked or {"macs": Share(0.5)}, latency, pace)
    assert answer.seconds_estimate is not None
    return answer.seconds_estimate


def test_how_long_a_job_takes_follows_from_the_training_it_does() -> None:
    usual = seconds()
    assert seconds(short_term_steps=10 * SETTINGS.short_term_steps) > 3.5 * usual
    assert seconds(executor="serial") > usual
    assert seconds({"macs": Share(0.9)}) < usual
    longer = seconds(long_term_epochs=SETTINGS.long_term_epochs + 100) - usual
    assert 100 * 0.5 * 960 / 1000 < longer < 100 * 0.5 * 1500 / 1000, "a hundred epochs of a network of half the size"
    assert seconds(final="none") < usual
    assert seconds(pace=replace(PACE, pretrains=True), training_epochs=100) > usual + 96
    fixed = KnownLatency(table=table(), fixed=True)
    assert seconds({"macs": Share(0.5), "latency_ms": Share(1.0)}, latency=fixed) > usual


def test_a_race_is_shorter_where_proposals_outnumber_processes_and_nowhere_else() -> None:
    def searching(search: Search, processes: int) -> float:
        asked = replace(SETTINGS, search=search, final="none", short_term_steps=200)
        speed = replace(PACE.speed, processes=processes)
        of_job = {"iterations": 20, "proposals": 15, "left": 0.5, "measures": False, "pretrains": False}
        return duration.estimate_seconds(asked, PACE.images, speed, **of_job)

    assert searching("racing", 1) < searching("exact", 1) / 2
    assert searching("racing", 2) < searching("exact", 2)
    assert searching("racing", 16) > searching("exact", 16)


def test_without_a_pace_or_with_a_budget_out_of_reach_no_time_is_named() -> None:
    assert assess(STRUCTURE, SETTINGS, {"macs": Share(0.5)}, None).seconds_estimate is None
    assert assess(STRUCTURE, SETTINGS, {"macs": 1.0}, None, PACE).seconds_estimate is None


def test_images_are_counted_as_the_job_will_cut_them() -> None:
    cut = image_counts({"train": 1437, "test": 360, "test_from": "in words"}, SETTINGS)
    assert cut == ImageCounts(train=1437 - 359, holdout=359, test=360)
    declared = image_counts({"train": 1437, "test": 360, "holdout": 50}, SETTINGS)
    assert declared == ImageCounts(train=1437, holdout=50, test=360)
    assert image_counts(None, SETTINGS) is None


def test_the_estimate_counts_with_the_batches_that_statistics_are_taken_over() -> None:
    assert duration.STATISTICS_BATCH_AT_LEAST == scoring.STATISTICS_BATCH_AT_LEAST
    more = replace(SETTINGS, batch_norm_batches=16)
    assert estimated(replace(SETTINGS, batch_norm_batches=0)) < estimated(SETTINGS) < estimated(more)


def test_the_estimate_counts_what_the_original_computes_to_teach() -> None:
    assert estimated(replace(SETTINGS, distill=True)) > estimated(SETTINGS)


def test_the_estimate_counts_with_a_race() -> None:
    exact = replace(SETTINGS, executor="serial", short_term_steps=200)
    racing = replace(exact, search="racing")
    assert estimated(replace(racing, race=Race(picks=1))) < estimated(racing) < estimated(exact)


def estimated(settings: Settings) -> float:
    images, speed = ImageCounts(train=10_000, holdout=1000, test=1000), TrainingSpeed(ms_per_image=1.0, processes=2)
    return estimate_seconds(
        settings, images, speed, iterations=5, proposals=8, left=0.5, measures=False, pretrains=False
    )


def test_where_fewer_channels_take_longer_whole_blocks_are_what_can_be_reached() -> None:
    known = KnownLatency(table=table(), fixed=False, original=whole(10.0), least=(whole(6.0), whole(4.0)))
    answer = assess(STRUCTURE, SETTINGS, {"latency_ms": 5.0}, known)
    assert (answer.feasible, answer.basis, answer.smallest["latency_ms"]) == (True, "measured", 4.0)
    below = assess(STRUCTURE, SETTINGS, {"latency_ms": 3.0}, known)
    assert (below.feasible, below.certain, below.smallest["latency_ms"]) == (False, True, 4.0)
    both = assess(STRUCTURE, SETTINGS, {"latency_ms": 5.0, "params": float(costs(smallest()).params)}, known)
    assert both.feasible is False, "no network has both"
