"""The uniformly thinned network beside a result: its width, its steps, and a job that goes on in the middle of it."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from adapt.budget import Share
from adapt.events import EpochDone, Finished, Measured, Message, ResultFound, UniformChosen
from adapt.graph.costs import costs
from adapt.loop import adapt_network
from adapt.presets import effective_settings
from adapt.search import Job, Progress, Reached
from adapt.uniform import widths
from tests.toy_search import FormulaMeter, StaircaseMeter, StandInTrainer, chain_groups, chain_network, toy_job

GROUPS = chain_groups(chain_network())


def settings(**others: object):
    return effective_settings({"compare": "uniform", "round_channels_to": 4, "min_channels": 4, **others})


def run(job: Job, progress: Progress | None = None) -> list:
    return list(adapt_network(job, progress or Progress()))


def of(kind: type, events: list) -> list:
    return [event for event in events if isinstance(event, kind)]


def test_the_widths_are_every_network_that_one_multiplier_makes_from_all_channels_to_the_fewest() -> None:
    found = widths(GROUPS, settings())
    assert found[0].counts == {group.id: group.channels for group in GROUPS}
    assert found[-1].counts == {group.id: 4 for group in GROUPS}
    for wider, narrower in pairwise(found):
        assert wider.multiplier > narrower.multiplier
        fallen = [wider.counts[name] - narrower.counts[name] for name in wider.counts]
        assert min(fallen) >= 0
        assert sum(fallen) > 0
    for width in found:
        for group in GROUPS:
            assert width.counts[group.id] % 4 == 0
            nearest = min(abs(count - width.multiplier * group.channels) for count in range(4, group.channels + 1, 4))
            assert abs(width.counts[group.id] - width.multiplier * group.channels) == pytest.approx(nearest)


def test_groups_that_the_job_leaves_alone_stay_as_they_are_and_limits_hold() -> None:
    found = widths(GROUPS, settings(exclude=["conv1"], group_limits={"conv2": {"min_channels": 16}}))
    assert {width.counts["conv1"] for width in found} == {24}
    assert min(width.counts["conv2"] for width in found) == 16
    (alone,) = widths(GROUPS, settings(exclude=["*"]))
    assert alone.counts == {group.id: group.channels for group in GROUPS}


@pytest.mark.parametrize(
    ("asked", "meter"),
    [
        ({"macs": Share(0.5)}, None),
        ({"params": Share(0.4), "memory_bytes": Share(0.8)}, None),
        ({"latency_ms": Share(0.6)}, FormulaMeter()),
        ({"latency_ms": Share(0.7)}, StaircaseMeter(step=8)),
        ({"latency_ms": Share(0.6), "params": Share(0.6)}, FormulaMeter(bias=0.3)),
    ],
)
def test_the_widest_network_within_the_results_own_measured_figures_is_compared_with(
    asked: Mapping[str, object], meter: FormulaMeter | None
) -> None:
    events = run(toy_job(asked, settings(), meter=meter or FormulaMeter()))
    end = events[-1]
    assert isinstance(end, Finished)
    uniform = end.uniform
    assert uniform is not None
    assert all(uniform.resources[name] <= end.resources[name] for name in asked)
    (place,) = [event.place for event in of(UniformChosen, events)]
    candidates = widths(GROUPS, settings())
    assert candidates[place].counts == {group: len(kept) for group, kept in uniform.kept.items()}
    if "latency_ms" not in asked:  # what is counted is known of all of them
        wider = chain_network()
        counts = candidates[place - 1].counts
        cut = {group.id: tuple(range(counts[group.id])) for group in GROUPS}
        assert any(_resources_of(wider, cut)[name] > end.resources[name] for name in asked)


def test_a_resource_of_the_callers_own_is_compared_by_as_well() -> None:
    chosen = settings()
    chosen = replace(chosen, schedule={**chosen.schedule, "energy_mj": chosen.schedule["latency_ms"]})
    meters = {"latency_ms": FormulaMeter(seed=1), "energy_mj": FormulaMeter(bias=0.1)}
    end = run(toy_job({"energy_mj": Share(0.6)}, chosen, meters=meters))[-1]
    assert end.uniform.resources["energy_mj"] <= end.resources["energy_mj"]
    assert set(end.uniform.figures) == set(meters)


def _resources_of(network, kept):
    from adapt.graph.pruning import all_kept, prune

    return costs(prune(network.graph, GROUPS, network, all_kept(GROUPS), kept).graph).resources


def test_it_is_the_original_pruned_by_the_jobs_importance_and_trained_for_as_many_steps_as_the_result() -> None:
    trainer = StandInTrainer()
    asked = {"macs": Share(0.5)}
    events = run(toy_job(asked, settings(long_term_epochs=3, short_term_steps=7), trainer=trainer))
    end = events[-1]
    assert end.uniform.steps == 7 * end.iteration + 3 * trainer.steps_per_epoch
    assert trainer.trained_for == [end.uniform.steps]
    original = chain_network()
    norms = np.sqrt(np.square(original.weights["conv0.weight"].astype(np.float64)).sum((1, 2, 3)))
    kept = end.uniform.kept["conv0"]
    assert sorted(kept) == sorted(np.argsort(-norms)[: len(kept)].tolist())
    assert np.array_equal(end.uniform.network.weights["conv0.weight"], original.weights["conv0.weight"][list(kept)])
    assert {event.of for event in of(EpochDone, events)} == {"job", "uniform"}


def test_without_a_long_term_fine_tune_it_gets_the_steps_of_the_picks_and_from_scratch_those_of_that_training() -> None:
    trainer = StandInTrainer()
    end = run(toy_job({"macs": Share(0.5)}, settings(final="none", short_term_steps=7), trainer=trainer))[-1]
    assert end.uniform.steps == 7 * end.iteration
    chosen = settings(final="from-scratch", long_term_epochs=4, short_term_steps=7)
    end = run(toy_job({"macs": Share(0.5)}, chosen, trainer=StandInTrainer()))[-1]
    assert end.uniform.steps == 4 * StandInTrainer.steps_per_epoch
    assert {float(tensor.flat[0]) for tensor in end.uniform.network.weights.values()} == {7.0}


def test_steps_that_another_job_had_made_before_count_too() -> None:
    job = toy_job({"macs": Share(0.5)}, settings(final="none", short_term_steps=7))
    end = run(job, Progress(steps_before=70))[-1]
    assert end.uniform.steps == 70 + 7 * end.iteration


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_job_that_was_cut_off_in_it_goes_on_with_it_and_searches_nothing_again(epochs: int) -> None:
    asked, chosen = {"latency_ms": Share(0.6)}, settings()
    whole = run(toy_job(asked, chosen))
    (found,), (place,) = of(ResultFound, whole[:-1]), of(UniformChosen, whole)
    trained = [event for event in of(EpochDone, whole) if event.of == "uniform"][:epochs]
    progress = Progress(
        iteration=found.iteration,
        network=found.network,
        kept=found.kept,
        holdout=found.holdout,
        final=Reached(iteration=found.iteration, network=found.network, kept=found.kept, holdout=found.holdout),
        uniform=place.place,
        epoch=trained[-1] if trained else None,
    )
    job = toy_job(asked, chosen)
    rest = run(job, progress)
    assert job.executor.evaluated == []
    assert next(event.epoch for event in of(EpochDone, rest)) == epochs + 1
    assert {event.of for event in of(EpochDone, rest)} == {"uniform"}
    assert rest[-1].uniform.kept == whole[-1].uniform.kept
    assert rest[-1].resources == whole[-1].resources
    assert {event.key for event in of(Measured, rest)} == {"0", "smallest", f"final-{found.iteration}"} | {
        f"uniform-{place.place}"
    }


def test_what_cannot_be_compared_is_told_and_the_result_stands() -> None:
    events = run(toy_job({"macs": Share(1.0)}, settings()))
    assert events[-1].uniform is None
    assert "nothing was cut: there is nothing to compare with" in [event.text for event in of(Message, events)]
    limits = {"max_removed": 1.0, "exclude": ["conv0", "conv1"]}
    events = run(toy_job({"macs": Share(0.8)}, settings(**limits)))
    assert events[-1].uniform is not None


def test_without_the_setting_nothing_of_it_happens() -> None:
    asked = {"latency_ms": Share(0.6)}
    job = toy_job(asked, effective_settings({"round_channels_to": 4, "min_channels": 4}))
    events = run(job)
    assert events[-1].uniform is None
    assert not of(UniformChosen, events)
    assert [event for event in events if type(event) is ResultFound] == []
