"""The search over stand-in accuracies: the rules of Algorithm 1 and what keeps it from getting stuck."""

import itertools
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapt.budget import Share
from adapt.errors import (
    BudgetNotMet,
    BudgetUnreachable,
    NoSuchLayer,
    OriginalAccuracyTooLow,
    ProposalFailed,
    ScheduleTooShort,
    Stopped,
)
from adapt.events import (
    WORST_LOSS,
    BudgetResolved,
    ControlEvaluated,
    EpochDone,
    Figure,
    Finished,
    IterationDone,
    IterationStarted,
    Measured,
    Message,
    ProposalEvaluated,
    ProposalGivenUp,
    ProposalSkipped,
)
from adapt.graph.costs import costs
from adapt.loop import adapt_network
from adapt.noise import standard_error
from adapt.pick import mnasnet_reward
from adapt.search import Progress
from adapt.spec import RESOURCES, GroupLimits, Reward, Settings, Step
from tests.toy_search import (
    FormulaMeter,
    NoisyMeter,
    StaircaseMeter,
    StandInExecutor,
    StandInTrainer,
    bottleneck_groups,
    chain_groups,
    chain_network,
    toy_job,
)

QUICK = Settings(
    schedule=dict.fromkeys(RESOURCES, Step(initial=0.1, decay=0.96, floor=0.005)),
    largest_share=0.5,
    round_channels_to=4,
    min_channels=4,
)


def run(job, progress=None):
    return list(adapt_network(job, progress or Progress()))


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def test_the_measured_network_ends_within_the_budget():
    events = run(toy_job({"latency_ms": Share(0.6)}, QUICK))
    limit = 0.6 * of(Measured, events)[0].latency.ms
    assert of(Finished, events)[0].latency.high <= limit
    assert of(IterationDone, events)


def test_each_count_is_the_largest_that_meets_the_constraint():
    events = run(toy_job({"macs": Share(0.5), "params": Share(0.7)}, QUICK))
    started = {event.iteration: event for event in of(IterationStarted, events)}
    for proposal in of(ProposalEvaluated, events):
        limits = started[proposal.iteration].constraint
        assert proposal.filters_after < proposal.filters_before
        assert all(proposal.predicted[name] <= limit for name, limit in limits.items())
        if proposal.next_larger_predicted is not None:
            assert any(proposal.next_larger_predicted[name] > limit for name, limit in limits.items())


def test_every_group_gets_one_proposal_or_one_reason_in_every_iteration():
    job = toy_job({"macs": Share(0.4)}, QUICK)
    events = run(job)
    for done in of(IterationDone, events):
        groups = [
            event.group
            for event in events
            if isinstance(event, ProposalEvaluated | ProposalSkipped) and event.iteration == done.iteration
        ]
        assert sorted(groups) == sorted(group.id for group in job.groups)
    assert all(event.reason for event in of(ProposalSkipped, events))


def test_the_pick_has_the_highest_accuracy_then_the_lowest_loss():
    events = run(toy_job({"macs": Share(0.4)}, QUICK))
    for done in of(IterationDone, events):
        rivals = [p for p in of(ProposalEvaluated, events) if p.iteration == done.iteration]
        best = min(rivals, key=lambda p: (-p.evaluation.accuracy, p.evaluation.loss, -p.relative_reduction, p.group))
        assert done.picked == (best.group,)
        assert set(done.reasons) == {p.group for p in rivals} - {best.group}


def test_best_slope_divides_the_gain_over_the_control_by_the_reduction():
    events = run(toy_job({"macs": Share(0.5)}, replace(QUICK, pick="best-slope")))
    control = {event.iteration: event.evaluation.accuracy for event in of(ControlEvaluated, events)}
    before = {event.iteration: event.before for event in of(IterationStarted, events)}
    for p in of(ProposalEvaluated, events):
        macs = before[p.iteration]["macs"]
        expected = (p.evaluation.accuracy - control[p.iteration]) / ((macs - p.predicted["macs"]) / macs)
        assert p.slope == pytest.approx(expected)
    for done in of(IterationDone, events):
        slopes = {p.group: p.slope for p in of(ProposalEvaluated, events) if p.iteration == done.iteration}
        assert slopes[done.picked[0]] == max(slopes.values())


def test_proposals_that_the_holdout_does_not_tell_apart_are_said_to_be_so_once_in_an_iteration():
    events = run(toy_job({"macs": Share(0.4)}, QUICK))
    done = of(IterationDone, events)
    told = [event.text for event in of(Message, events) if "does not tell" in event.text]
    for iteration in done:
        rivals = [p for p in of(ProposalEvaluated, events) if p.iteration == iteration.iteration]
        (best,) = [p.evaluation.accuracy for p in rivals if p.group == iteration.picked[0]]
        noise = standard_error(best, 200)
        close = sum(abs(p.evaluation.accuracy - best) <= noise for p in rivals) - 1
        own = [text for text in told if text.startswith(f"iteration {iteration.iteration}: a hold-out of 200 images")]
        assert len(own) == (close > 0)
        assert all(f"does not tell {close} of {len(rivals) - 1} other" in text for text in own)
    assert told


def test_training_from_scratch_ends_with_what_it_trained_and_says_where_a_better_pick_is():
    trainer = StandInTrainer(scratch_loss=3.0)
    events = run(toy_job({"macs": Share(0.7)}, replace(QUICK, final="from-scratch"), trainer=trainer))
    finished = of(Finished, events)[0]
    assert all((tensor == 7).all() for tensor in finished.network.weights.values())
    assert finished.kept == of(IterationDone, events)[-1].kept
    assert finished.holdout.loss == 3.0
    assert len(of(EpochDone, events)) == trainer.epochs
    where = f"as asked it is the result, the pick is checkpoint {finished.iteration}"
    assert any(where in event.text for event in of(Message, events))


def test_training_from_scratch_that_loses_its_numbers_keeps_the_pick_and_says_so():
    trainer = StandInTrainer(scratch_loss=WORST_LOSS)
    events = run(toy_job({"macs": Share(0.7)}, replace(QUICK, final="from-scratch"), trainer=trainer))
    pick, finished = of(IterationDone, events)[-1], of(Finished, events)[0]
    assert finished.network.weights is pick.network.weights
    assert any("training from scratch lost its numbers" in event.text for event in of(Message, events))


@pytest.mark.parametrize("exponents", [Reward(), Reward(alpha=0.0, beta=-1.0), Reward(alpha=-0.5, beta=-3.0)])
def test_mnasnets_reward_is_by_what_is_predicted_as_a_share_of_the_budget(exponents):
    job = toy_job({"latency_ms": Share(0.5)}, replace(QUICK, pick="mnasnet-reward", reward=exponents))
    events = run(job)
    target = of(BudgetResolved, events)[0].limits["latency_ms"]
    rewards = {}
    for p in of(ProposalEvaluated, events):
        share = p.predicted["latency_ms"] / target
        exponent = exponents.alpha if share <= 1 else exponents.beta
        assert p.reward == pytest.approx(p.evaluation.accuracy * share**exponent)
        rewards[p.iteration, p.group] = p.reward
    for done in of(IterationDone, events):
        rivals = {group: reward for (i, group), reward in rewards.items() if i == done.iteration}
        assert rivals[done.picked[0]] == max(rivals.values())
        assert all(
            (" is below " in why and why.startswith("reward ")) or "same reward" in why for why in done.reasons.values()
        )


def test_with_equal_exponents_the_budget_does_not_change_mnasnets_choice():
    def ranking(limit):
        shares = [(0.90, 5.0), (0.93, 6.0), (0.88, 3.0), (0.95, 9.0)]
        return sorted(shares, key=lambda pair: mnasnet_reward(pair[0], pair[1] / limit, Reward()))

    assert ranking(4.0) == ranking(7.0)
    hard = Reward(alpha=0.0, beta=-1.0)
    assert mnasnet_reward(0.9, 1.0, hard) == mnasnet_reward(0.9, 0.2, hard) == 0.9
    assert mnasnet_reward(0.9, 2.0, hard) == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("importance", "asked"), [("l2", []), ("l1", []), ("taylor", ["saliences"]), ("activation", ["activations"])]
)
def test_training_images_are_looked_at_only_by_an_importance_that_needs_them(importance, asked):
    job = toy_job({"macs": Share(0.7)}, replace(QUICK, importance=importance))
    events = run(job)
    looked_at = job.trainer.looked_at
    assert len(looked_at) == len(of(IterationDone, events))
    assert all(sorted(set(evidence.asked)) == asked for evidence in looked_at)
    assert len({evidence.seed for evidence in looked_at}) == len(looked_at)


def test_what_stays_are_the_most_important_channels():
    job = toy_job({"macs": Share(0.7)}, replace(QUICK, importance="activation"))
    first = next(p for p in of(ProposalEvaluated, run(job)) if p.group == "conv0")
    figures = job.trainer.looked_at[0].activations()["conv1.weight"]
    expected = sorted(np.argsort(-figures, kind="stable")[: first.filters_after].tolist())
    assert list(first.kept) == expected


def test_a_candidates_latency_is_calibrated_to_the_measured_network():
    events = run(toy_job({"latency_ms": Share(0.6)}, QUICK, meter=FormulaMeter(bias=0.4)))
    for started in of(IterationStarted, events):
        measured = next(e.latency for e in of(Measured, events) if e.key == str(started.iteration - 1))
        assert started.calibration == pytest.approx(measured.ms / measured.predicted_ms)
        assert started.before["latency_ms"] == measured.ms


def test_the_last_constraint_is_the_budget_and_not_a_full_step_below_it():
    job = toy_job({"macs": Share(0.5)}, QUICK)
    events = run(job)
    limit = 0.5 * of(IterationStarted, events)[0].before["macs"]
    assert of(IterationStarted, events)[-1].constraint["macs"] == pytest.approx(limit)


def test_a_budget_that_the_original_meets_cuts_nothing_and_says_so():
    job = toy_job({"params": Share(1.0), "latency_ms": Share(1.0)}, QUICK)
    events = run(job)
    assert not of(IterationStarted, events)
    assert any("already" in event.text for event in of(Message, events))
    assert of(Finished, events)[0].network is job.original


def test_an_unreachable_budget_fails_before_training_with_the_smallest_figure():
    job = toy_job({"macs": 1.0}, QUICK)
    with pytest.raises(BudgetUnreachable) as error:
        run(job)
    assert error.value.smallest > 1.0
    assert job.executor.evaluated == []


def test_an_explicit_schedule_that_ends_too_early_is_refused_with_a_decay_that_reaches():
    short = replace(QUICK, schedule=dict.fromkeys(RESOURCES, Step(initial=0.05, decay=0.9)))
    with pytest.raises(ScheduleTooShort) as error:
        run(toy_job({"macs": Share(0.4)}, short))
    assert error.value.initial / (1 - error.value.decay) > error.value.needed
    longer = replace(QUICK, schedule=dict.fromkeys(RESOURCES, Step(initial=0.05, decay=error.value.decay)))
    assert of(Finished, run(toy_job({"macs": Share(0.4)}, longer)))


def test_a_network_that_guesses_is_refused_unless_asked_otherwise():
    with pytest.raises(OriginalAccuracyTooLow):
        run(toy_job({"macs": Share(0.8)}, QUICK, trainer=StandInTrainer(accuracy=0.12)))
    allowed = replace(QUICK, allow_low_accuracy=True)
    assert of(Finished, run(toy_job({"macs": Share(0.8)}, allowed, trainer=StandInTrainer(accuracy=0.12))))


def test_proposals_that_end_before_the_control_wait_for_it_and_change_nothing():
    class ControlLast(StandInExecutor):
        def evaluate(self, network, before, candidates, stop):
            yield from super().evaluate(network, before, [*candidates[1:], candidates[0]], stop)

    network = chain_network()
    usual = run(toy_job({"macs": Share(0.5)}, QUICK))
    late = run(toy_job({"macs": Share(0.5)}, QUICK, executor=ControlLast(network, chain_groups(network))))
    kinds = (ControlEvaluated, ProposalEvaluated, IterationDone)
    assert [type(event) for event in late if isinstance(event, kinds)] == [
        type(event) for event in usual if isinstance(event, kinds)
    ]
    assert [event.picked for event in of(IterationDone, late)] == [event.picked for event in of(IterationDone, usual)]


@dataclass
class RatesNoted(StandInExecutor):
    closed: int = 0
    rates: list[set[float]] = field(default_factory=list)

    def evaluate(self, network, before, candidates, stop):
        self.rates.append({candidate.learning_rate for candidate in candidates})
        try:
            yield from super().evaluate(network, before, candidates, stop)
        except GeneratorExit:
            self.closed += 1
            raise


def test_a_control_that_falls_has_every_proposal_trained_at_the_halved_rate():
    network = chain_network()
    executor = RatesNoted(network, chain_groups(network))
    events = run(toy_job({"macs": Share(0.5)}, QUICK, trainer=StandInTrainer(accuracy=1.0), executor=executor))
    halved = next(event for event in of(ControlEvaluated, events) if event.reason is not None)
    rate = QUICK.learning_rate
    assert all(len(rates) == 1 for rates in executor.rates)
    assert executor.rates[: halved.iteration + 1] == [{rate}] * halved.iteration + [{rate / 2}]
    assert executor.closed == 1


def test_a_control_that_falls_halves_the_learning_rate_once():
    events = run(toy_job({"macs": Share(0.5)}, QUICK, trainer=StandInTrainer(accuracy=1.0)))
    controls = of(ControlEvaluated, events)
    assert sum("halved" in (event.reason or "") for event in controls) == 1
    assert {event.learning_rate for event in controls} <= {QUICK.learning_rate, QUICK.learning_rate / 2}
    assert controls[-1].learning_rate == QUICK.learning_rate / 2


def test_a_search_that_goes_on_within_its_first_iteration_keeps_the_halved_rate():
    network = chain_network()
    executor = RatesNoted(network, chain_groups(network))
    job = toy_job({"macs": Share(0.5)}, QUICK, trainer=StandInTrainer(accuracy=1.0), executor=executor)
    events = iter(adapt_network(job, Progress(learning_rate=QUICK.learning_rate / 2)))
    assert next(event for event in events if isinstance(event, IterationDone)).iteration == 1
    assert set().union(*executor.rates) == {QUICK.learning_rate / 2}


def test_a_control_that_falls_at_the_halved_rate_too_says_so_in_every_iteration():
    class Falling(StandInExecutor):
        def evaluate(self, network, before, candidates, stop):
            for found in super().evaluate(network, before, candidates, stop):
                yield replace(found, accuracy=found.accuracy / 2)

    network = chain_network()
    events = run(
        toy_job({"macs": Share(0.8)}, QUICK, executor=Falling(network, chain_groups(network)), trainer=StandInTrainer())
    )
    controls = of(ControlEvaluated, events)
    told = [event.text for event in of(Message, events) if "a lower learning_rate may help" in event.text]
    assert [text.partition(":")[0] for text in told] == [f"iteration {each.iteration}" for each in controls]
    assert f"at the halved rate {QUICK.learning_rate / 2:g} too" in told[0]
    assert [each.reason is None for each in controls] == [False, *[True] * (len(controls) - 1)]


def test_a_search_that_cannot_step_takes_the_largest_step_there_is():
    giant = replace(QUICK, schedule=dict.fromkeys(RESOURCES, Step(initial=0.9, decay=0.99, floor=0.005)))
    events = run(toy_job({"macs": Share(0.3)}, giant))
    assert of(Finished, events)[0].resources["macs"] <= 0.3 * of(IterationStarted, events)[0].before["macs"]


def test_a_failed_proposal_is_told_and_the_iteration_goes_on():
    network = chain_network()
    executor = StandInExecutor(network, chain_groups(network), fail=frozenset({"conv1"}))
    events = run(toy_job({"macs": Share(0.7)}, QUICK, executor=executor))
    assert of(ProposalGivenUp, events)
    assert all(done.picked != ("conv1",) for done in of(IterationDone, events))


def test_when_every_proposal_fails_the_search_fails_with_the_reason():
    network = chain_network()
    executor = StandInExecutor(network, chain_groups(network), fail=frozenset({"conv0", "conv1", "conv2"}))
    with pytest.raises(ProposalFailed, match="its process died"):
        run(toy_job({"macs": Share(0.7)}, QUICK, executor=executor))


def test_no_clock_is_read_for_a_budget_in_mult_adds_but_to_report():
    meter = FormulaMeter()
    events = run(toy_job({"macs": Share(0.6)}, QUICK, meter=meter))
    assert set(meter.asked) == {"0", f"final-{len(of(IterationDone, events))}"}
    quiet = run(toy_job({"macs": Share(0.6)}, QUICK, meter=None))
    assert [e.picked for e in of(IterationDone, events)] == [e.picked for e in of(IterationDone, quiet)]


def test_a_result_that_measures_over_the_budget_goes_on_shrinking():
    class Worse(FormulaMeter):
        def measure(self, key, network, effort="usual"):
            latency = super().measure(key, network, effort)
            first_final = key.startswith("final") and sum(k.startswith("final") for k in self.asked) == 1
            factor = 1.2 if first_final else 1.0
            return replace(latency, ms=latency.ms * factor, high=latency.high * factor)

    events = run(toy_job({"latency_ms": Share(0.6)}, QUICK, meter=Worse()))
    finals = [event for event in of(Measured, events) if event.key.startswith("final")]
    assert len(finals) == 2
    assert of(Finished, events)[0].latency.high <= 0.6 * of(Measured, events)[0].latency.ms


def test_groups_out_of_include_or_in_exclude_are_left_alone():
    chosen = replace(QUICK, include=("conv*",), exclude=("conv2",))
    events = run(toy_job({"macs": Share(0.7)}, chosen))
    assert {p.group for p in of(ProposalEvaluated, events)} <= {"conv0", "conv1"}


def test_one_iteration_takes_at_most_half_of_a_group():
    events = run(toy_job({"macs": Share(0.2)}, QUICK))
    assert all(p.filters_after >= p.filters_before / 2 for p in of(ProposalEvaluated, events))


def test_stop_ends_the_search_with_stopped():
    class Stopping(StandInExecutor):
        def evaluate(self, network, before, candidates, stop):
            if stop():
                raise Stopped
            yield from super().evaluate(network, before, candidates, stop)

    network = chain_network()
    job = toy_job({"macs": Share(0.5)}, QUICK, executor=Stopping(network, chain_groups(network)), stop=lambda: True)
    with pytest.raises(Stopped):
        run(job)


def paper_job(asked, settings=QUICK, **parts):
    """Bottlenecks conv0, conv2 (16 channels) and conv4 (8) between the expansions conv1 and conv3 (both 24)."""
    network = chain_network((16, 24, 16, 24, 8))
    groups = bottleneck_groups(network)
    own = {"original": network, "groups": groups, "executor": StandInExecutor(network, groups)}
    return toy_job(asked, replace(settings, proposals="paper"), **(own | parts))


def test_the_papers_proposals_shrink_all_bottlenecks_of_one_size_together_and_each_expansion_alone():
    job = paper_job({"macs": Share(0.3)})
    events = run(job)
    kept = {0: {group.id: tuple(range(group.channels)) for group in job.groups}}
    kept |= {done.iteration: done.kept for done in of(IterationDone, events)}
    for event in of(ProposalEvaluated, events):
        assert set(event.further) == ({"conv2"} if event.group == "conv0" else set())
        assert {len(chosen) for chosen in event.positions.values()} == {event.filters_after}
    told = {event.group for kind in (ProposalEvaluated, ProposalSkipped) for event in of(kind, events)}
    assert told == {"conv0", "conv1", "conv3", "conv4"}
    for done in of(IterationDone, events):
        picked = next(
            event
            for event in of(ProposalEvaluated, events)
            if (event.iteration, event.group) == (done.iteration, *done.picked)
        )
        before = kept[done.iteration - 1]
        for group, chosen in picked.positions.items():
            assert done.kept[group] == tuple(before[group][position] for position in chosen)
        changed = {group for group in before if before[group] != done.kept[group]}
        assert changed == set(picked.positions)
    narrow = of(Finished, run(paper_job({"macs": Share(0.8)}, replace(QUICK, exclude=("conv1", "conv3")))))[0].kept
    assert len(narrow["conv0"]) == len(narrow["conv2"]) < 16


def test_each_bottleneck_of_one_size_keeps_its_own_largest_filters():
    job = paper_job({"macs": Share(0.6)})
    event = next(event for event in of(ProposalEvaluated, run(job)) if event.group == "conv0" and event.iteration == 1)
    for group, chosen in event.positions.items():
        norms = (job.original.weights[f"{group}.weight"] ** 2).sum(axis=(1, 2, 3))
        assert set(chosen) == set(norms.argsort()[-event.filters_after :])
    assert event.kept != event.further["conv2"]


def test_a_skipped_or_failed_proposal_names_all_its_groups():
    network = chain_network((16, 24, 16, 24, 8))
    executor = StandInExecutor(network, bottleneck_groups(network), fail=frozenset({"conv0"}))
    events = run(paper_job({"macs": Share(0.2)}, executor=executor))
    assert {event.further for event in of(ProposalGivenUp, events) if event.group == "conv0"} == {("conv2",)}
    few = run(paper_job({"macs": Share(0.9)}, replace(QUICK, group_limits={"conv2": GroupLimits(max_removed=0.0)})))
    assert {event.further for event in of(ProposalSkipped, few) if event.group == "conv0"} == {("conv2",)}


def test_groups_that_are_neither_expansion_nor_bottleneck_are_none_of_the_papers_proposals():
    with pytest.raises(BudgetUnreachable):
        run(toy_job({"macs": Share(0.9)}, replace(QUICK, proposals="paper")))


def test_no_group_loses_more_than_its_largest_share_or_its_own_limit():
    limited = replace(
        QUICK,
        max_removed=0.75,
        min_channels=4,
        group_limits={"conv1": GroupLimits(max_removed=0.5), "conv[01]": GroupLimits(max_removed=0.9, min_channels=8)},
    )
    job = toy_job({"macs": Share(0.25)}, limited)
    counts = {group: len(kept) for group, kept in of(Finished, run(job))[0].kept.items()}
    assert counts["conv0"] >= 8
    assert counts["conv1"] >= 12
    assert counts["conv2"] >= 8
    with pytest.raises(BudgetUnreachable, match="max_removed"):
        run(toy_job({"macs": Share(0.25)}, replace(limited, max_removed=0.25)))


def test_a_pattern_that_matches_no_layer_is_refused_before_anything_is_measured():
    meter = FormulaMeter()
    wrong = replace(QUICK, include=("conv*", "cnov1"), exclude=("Head",), group_limits={"con": GroupLimits()})
    with pytest.raises(NoSuchLayer) as error:
        run(toy_job({"macs": Share(0.9)}, wrong, meter=meter))
    assert [(place, pattern) for place, pattern, _ in error.value.faults] == [
        (("include", "1"), "cnov1"),
        (("exclude", "0"), "Head"),
        (("group_limits", "con"), "con"),
    ]
    hints = [hint for *_, hint in error.value.faults]
    assert "conv1" in hints[0]
    assert hints[1] == "the nearest are head"
    assert hints[2] == "con* matches conv0, conv1, conv2"
    assert meter.asked == []


@pytest.mark.parametrize("make", [toy_job, paper_job])
def test_a_search_resumed_after_any_iteration_ends_with_the_same_network(make):
    job = make({"macs": Share(0.4)}, QUICK)
    whole = run(job)
    end = of(Finished, whole)[0]
    rates = {event.iteration: event.learning_rate for event in of(ControlEvaluated, whole)}
    for done in of(IterationDone, whole):
        progress = Progress(
            iteration=done.iteration,
            network=done.network,
            kept=done.kept,
            holdout=done.holdout,
            learning_rate=rates[done.iteration],
        )
        again = of(Finished, run(job, progress))[0]
        assert again.kept == end.kept
        assert all((again.network.weights[name] == end.network.weights[name]).all() for name in end.network.weights)


shares = st.floats(min_value=0.1, max_value=1.2)


@settings(max_examples=150, deadline=None)
@given(
    asked=st.dictionaries(st.sampled_from(["latency_ms", "macs", "params", "memory_bytes"]), shares, min_size=1),
    initial=st.floats(min_value=0.005, max_value=0.5),
    decay=st.floats(min_value=0.8, max_value=1.0),
    floor=st.sampled_from([0.0, 0.005]),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    removed=st.sampled_from([0.6, 1.0]),
    own=st.sampled_from([{}, {"conv2": GroupLimits(min_channels=6)}, {"conv[01]": GroupLimits(max_removed=0.3)}]),
    proposals=st.sampled_from(["groups", "paper"]),
    rounding=st.sampled_from([1, 4, 8]),
    rule=st.sampled_from(["highest-accuracy", "best-slope", "mnasnet-reward"]),
    luck=st.integers(min_value=0, max_value=1000),
    meter=st.sampled_from([FormulaMeter(bias=0.0), StaircaseMeter(8), StaircaseMeter(16)]),
)
def test_what_check_calls_feasible_ends_met(
    asked, initial, decay, floor, share, removed, own, proposals, rounding, rule, luck, meter
):
    chosen = replace(
        QUICK,
        schedule=dict.fromkeys(RESOURCES, Step(initial=initial, decay=decay, floor=floor)),
        largest_share=share,
        max_removed=removed,
        group_limits=own,
        proposals=proposals,
        round_channels_to=rounding,
        pick=rule,
    )
    network = chain_network((16, 24, 16, 32))
    groups = bottleneck_groups(network)
    job = toy_job(
        {name: Share(fraction) for name, fraction in asked.items()},
        chosen,
        original=network,
        groups=groups,
        executor=StandInExecutor(network, groups, seed=luck),
        meter=meter,
    )
    try:
        events = run(job)
    except (BudgetUnreachable, ScheduleTooShort):
        assert job.executor.evaluated == [], "refused before anything was trained"
        return
    finished = of(Finished, events)[0]
    assert finished.latency is not None
    original = of(IterationStarted, events)[0].before if of(IterationStarted, events) else finished.resources
    for name, fraction in asked.items():
        value = finished.latency.high if name == "latency_ms" and fraction < 1 else finished.resources[name]
        assert value <= fraction * original[name] * (1 + 1e-12)
    for earlier, later in itertools.pairwise(of(IterationDone, events)):
        assert sum(map(len, later.kept.values())) < sum(map(len, earlier.kept.values()))


def test_a_network_that_measures_ever_worse_fails_with_budget_not_met_after_the_last_step():
    class Stuck(FormulaMeter):
        def measure(self, key, network, effort="usual"):
            latency = super().measure(key, network, effort)
            slow = key not in {"0", "smallest"}
            return replace(latency, ms=1e3, high=1e3) if slow else latency

    with pytest.raises(BudgetNotMet, match="every checkpoint is kept"):
        run(toy_job({"latency_ms": Share(0.6)}, QUICK, meter=Stuck()))


def test_what_is_no_faster_is_never_proposed_and_the_reason_says_so():
    """16, 24 and 32 filters: one block of sixteen, and two, and two; four at a time."""
    meter = StaircaseMeter(16)
    events = run(toy_job({"latency_ms": Share(0.8), "params": Share(0.7)}, QUICK, meter=meter))
    before = {event.iteration: event.before for event in of(IterationStarted, events)}
    for proposal in of(ProposalEvaluated, events):
        if before[proposal.iteration]["latency_ms"] > 0.8 * before[1]["latency_ms"]:
            assert proposal.predicted["latency_ms"] < before[proposal.iteration]["latency_ms"]
    reasons = [event.reason for event in of(ProposalSkipped, events) if event.iteration == 1]
    assert reasons == ["no faster: 12 filters are predicted at 6 ms, now 6 ms"]


def test_a_wide_step_is_taken_at_once_where_one_iteration_may_take_little():
    job = toy_job({"latency_ms": Share(0.7)}, replace(QUICK, largest_share=0.05), meter=StaircaseMeter(16))
    counts = {group: len(kept) for group, kept in of(Finished, run(job))[0].kept.items()}
    assert counts == {"conv0": 16, "conv1": 16, "conv2": 16}


def test_a_met_latency_only_has_to_stay_within_its_limit():
    events = run(toy_job({"latency_ms": Share(1.0), "params": Share(0.9)}, QUICK, meter=StaircaseMeter(16)))
    assert any(p.predicted["latency_ms"] == 6.0 for p in of(ProposalEvaluated, events))


def test_a_count_that_is_slower_than_a_larger_one_is_passed_over_when_another_meets_the_constraint():
    asked = {"latency_ms": 100.0, "params": Share(0.85)}

    def first(*slow, share=0.5):
        chosen = replace(QUICK, largest_share=share)
        events = run(toy_job(asked, chosen, meter=StaircaseMeter(16, frozenset(slow))))
        change = next(p for p in of(ProposalEvaluated, events) if p.group == "conv2")
        return change.filters_after, change.delta_latency_ms

    assert first() == (24, 0.0)
    assert first(24) == (20, 0.0)
    assert first(24, 20) == (16, -1.0)
    assert first(24, share=0.25) == (24, 1.0), "no other one meets the constraint"


def test_a_wide_interval_is_measured_again_and_longer_before_more_is_cut():
    narrow = run(toy_job({"latency_ms": Share(0.6)}, QUICK, meter=NoisyMeter(0.001, 0.001)))
    noisy = run(toy_job({"latency_ms": Share(0.6)}, QUICK, meter=NoisyMeter(0.3, 0.001)))
    last = of(Finished, narrow)[0].iteration
    again = [event.key for event in of(Measured, noisy) if event.key.endswith("-again")]
    assert again == [f"{last}-again", f"final-{last}-again"]
    assert of(Finished, noisy)[0].kept == of(Finished, narrow)[0].kept
    assert sum("measured again, longer" in event.text for event in of(Message, noisy)) == 2


def test_noise_that_longer_measuring_does_not_lessen_ends_with_the_figures_in_the_reason():
    with pytest.raises(BudgetUnreachable, match="is the least") as refused:
        run(toy_job({"latency_ms": 0.2}, QUICK, meter=NoisyMeter(5.0, 5.0)))
    assert refused.value.smallest <= 0.2 < refused.value.upper

    class Noisier(NoisyMeter):
        def measure(self, key, network, effort="usual"):
            return super().measure("0" if key.startswith("smallest") else key, network, effort)

    with pytest.raises(BudgetNotMet, match="interval reaches up to") as failed:
        run(toy_job({"latency_ms": Share(0.6)}, QUICK, meter=Noisier(5.0, 5.0)))
    assert failed.value.reached <= failed.value.budget < failed.value.upper


def test_a_resumed_search_decides_from_what_was_measured_again():
    job = toy_job({"latency_ms": Share(0.6)}, QUICK, meter=NoisyMeter(0.3, 0.001))
    whole = run(job)
    end = of(Finished, whole)[0]
    done = of(IterationDone, whole)[-1]
    progress = Progress(iteration=done.iteration, network=done.network, kept=done.kept, holdout=done.holdout)
    again = run(job, progress)
    assert of(Finished, again)[0].kept == end.kept
    assert of(IterationStarted, again) == []
    assert f"{done.iteration}-again" in {event.key for event in of(Measured, again)}


class Watts:
    """Energy of one inference, as a second measured resource: any class of this form will do."""

    unit, margin = "mJ", 0.02

    def __init__(self):
        self.asked = []

    def predict(self, graph):
        return costs(graph).params / 1e3

    def measure(self, key, network, effort="usual"):
        self.asked.append(key)
        value = 3 * self.predict(network.graph)
        return Figure(value=value, low=0.99 * value, high=1.01 * value)


def test_another_measured_resource_is_steered_calibrated_and_met_as_latency_is():
    energy = Watts()
    chosen = replace(QUICK, schedule={**QUICK.schedule, "energy_mj": QUICK.schedule["latency_ms"]})
    job = toy_job({"energy_mj": Share(0.6), "latency_ms": Share(0.9)}, chosen)
    job = replace(job, meters={**job.meters, "energy_mj": energy})
    events = run(job)
    original = next(e.figure.value for e in of(Measured, events) if (e.key, e.resource) == ("0", "energy_mj"))
    finished = of(Finished, events)[0]
    assert finished.figures["energy_mj"].high <= 0.6 * original
    assert finished.resources["energy_mj"] == finished.figures["energy_mj"].value
    assert energy.asked[-1] == f"final-{finished.iteration}"
    for started in of(IterationStarted, events):
        assert started.calibrations["energy_mj"] == pytest.approx(3.0)
        assert set(started.constraint) == {"energy_mj", "latency_ms"}
    with pytest.raises(BudgetUnreachable, match="energy_mj: 0"):
        run(replace(job, asked={"energy_mj": 0.001}))


def test_a_budget_is_not_refused_where_only_part_of_a_block_takes_too_long():
    meter = StaircaseMeter(16, slow=frozenset({4, 8, 12}))
    events = run(toy_job({"latency_ms": Share(0.7)}, QUICK, meter=meter))
    assert {"smallest", "smallest-blocks"} <= {event.key for event in of(Measured, events)}
    assert of(Finished, events)[0].latency.ms == 4.0
    with pytest.raises(BudgetUnreachable) as refused:
        run(toy_job({"latency_ms": 3.0}, QUICK, meter=meter))
    assert refused.value.smallest == 4.0
