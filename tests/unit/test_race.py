"""The race: its rules, its honest record, and that it decides the same again from that record."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from adapt.budget import Share
from adapt.events import (
    BudgetResolved,
    ControlEvaluated,
    CutsJoined,
    Evaluation,
    Event,
    IterationDone,
    Message,
    ProposalEvaluated,
    ProposalGivenUp,
    ProposalJudged,
    ProposalSkipped,
    RungDone,
)
from adapt.executors.contract import Candidate, Failure
from adapt.executors.recorded import RecordedExecutor
from adapt.graph.network import Network
from adapt.graph.pruning import Kept, prune
from adapt.loop import adapt_network
from adapt.noise import Difference, paired_difference
from adapt.rungs import resting, rungs, who_leaves
from adapt.search import Left, Progress, Races
from adapt.spec import RESOURCES, Race, Settings, Step, derive_seed
from adapt.stop import Stop
from tests.toy_search import StandInTrainer, chain_groups, chain_network, toy_job

IMAGES = 200
STEPS = 16
CHANNELS = (16, 24, 32, 40, 24, 32)
RACING = Settings(
    search="racing",
    short_term_steps=STEPS,
    schedule=dict.fromkeys(RESOURCES, Step(initial=0.06, decay=0.98, floor=0.005)),
    round_channels_to=2,
    min_channels=2,
)


@dataclass
class RacingExecutor:
    """Each group costs some accuracy of its own, which shows more and more with the steps; several together cost
    `penalty` more than their sum. Which images are lost depends on the group."""

    original: Network
    groups: Sequence[Any]
    penalty: float = 0.0
    fail: Mapping[str, int] = field(default_factory=dict)  # group -> the step that it does not survive
    control_diverges: bool = False
    asked: list[Candidate] = field(default_factory=list)
    together: list[Sequence[Candidate]] = field(default_factory=list)

    @property
    def steps(self) -> int:
        return sum(
            (each.until or STEPS) - (0 if each.begun is None else each.begun.steps)
            for each in self.asked
            if each.group is not None
        )

    def evaluate(
        self, network: Network, before: Kept, candidates: Sequence[Candidate], stop: Stop
    ) -> Iterator[Evaluation | Failure]:
        self.together.append(candidates)
        for candidate in candidates[::-1]:
            self.asked.append(candidate)
            steps = candidate.until or STEPS
            if candidate.group in self.fail and steps >= self.fail[candidate.group]:
                yield Failure(group=candidate.group, attempts=3, reason="its process died")
                continue
            cut = prune(self.original.graph, self.groups, network, before, candidate.kept)
            names = [] if candidate.group is None else candidate.group.split(" + ")
            right = np.ones(IMAGES, bool)
            for name in names:
                lost = int(IMAGES * COSTS[name] * (0.5 + steps / STEPS / 2))
                right[np.random.default_rng(derive_seed(name)).permutation(IMAGES)[:lost]] = False
            if len(names) > 1:
                right[: int(IMAGES * self.penalty)] = False
            yield Evaluation(
                group=candidate.group,
                accuracy_before_finetune=0.5,
                accuracy=float(right.mean()),
                loss=1 - float(right.mean()),
                steps=steps,
                attempts=1,
                seconds=0.0,
                weights=cut.weights,
                right=np.packbits(right).tobytes(),
                memory=None
                if candidate.until is None or (self.control_diverges and not names)
                else {"chance": np.zeros(1, np.uint8)},
            )

    def close(self) -> None:
        self.asked.clear()


COSTS = {"conv0": 0.0, "conv1": 0.01, "conv2": 0.02, "conv3": 0.3, "conv4": 0.25, "conv5": 0.2}


def racing(settings: Settings = RACING, share: float = 0.7, **of_executor: Any) -> tuple[Any, RacingExecutor]:
    network = chain_network(CHANNELS)
    groups = chain_groups(network)
    executor = RacingExecutor(network, groups, **of_executor)
    job = toy_job({"macs": Share(share)}, settings, original=network, groups=groups, executor=executor)
    return job, executor


def run(job: Any, progress: Progress | None = None) -> list[Event]:
    return list(adapt_network(job, progress or Progress()))


def of(kind: type, events: Sequence[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def evaluated(group: str, right: np.ndarray, loss: float = 0.5) -> ProposalEvaluated:
    accuracy = float(right.mean())
    return ProposalEvaluated(
        iteration=1, group=group, filters_before=8, filters_after=4, kept=(0, 1, 2, 3), predicted={"macs": 90.0},
        next_larger_filters=None, next_larger_predicted=None, delta_latency_ms=None, delta_accuracy=accuracy - 1,
        relative_reduction=0.1, slope=(accuracy - 1) / 0.1, reward=accuracy,
        evaluation=Evaluation(
            group=group, accuracy_before_finetune=0.1, accuracy=accuracy, loss=loss, steps=2, attempts=1, seconds=0.0,
            right=np.packbits(right).tobytes(),
        ),
    )  # fmt: skip


CONTROL = replace(evaluated("", np.ones(100, bool)).evaluation, group=None)


def wrong(*images: int) -> np.ndarray:
    right = np.ones(100, bool)
    right[list(images)] = False
    return right


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(200, (25, 50, 100)), (10, (2, 3, 5)), (4, (1, 2)), (2, (1,)), (1, ())],
)
def test_rungs_are_at_an_eighth_a_quarter_and_half_of_the_steps(steps: int, expected: tuple[int, ...]) -> None:
    assert rungs(steps) == expected


def test_a_paired_difference_has_the_error_of_mcnemars_test() -> None:
    """10 images that only the first answers, 2 that only the second does: (b - c) / n and sqrt(b + c - (b-c)^2/n)/n."""
    found = paired_difference(np.array([1.0] * 10 + [-1.0] * 2 + [0.0] * 88))
    assert found.mean == pytest.approx(0.08)
    assert found.standard_error == pytest.approx(np.sqrt(12 - 64 / 100) / 100)
    assert found.exceeds(2.0)
    assert not found.exceeds(2.5)
    assert not Difference(0.0, 0.0).exceeds(2.0)


def test_the_worse_half_leaves_and_whoever_is_told_from_the_best() -> None:
    race = Race(standard_errors=2.0, picks=1)
    raced = [
        evaluated("best", wrong()),
        evaluated("near", wrong(1)),
        evaluated("told", wrong(*range(20))),
        evaluated("also near", wrong(1, 2)),
    ]
    left = {each.proposal.group: each.reason for each in who_leaves("highest-accuracy", race, raced, CONTROL, 100)}
    assert set(left) == {"told", "also near"}
    assert "told apart" in left["told"]
    assert "4 of 4" in left["told"]
    assert "not in the better half, not told apart" in left["also near"]
    in_better_half = [raced[0], raced[2], evaluated("c", wrong(*range(30))), evaluated("d", wrong(*range(40)))]
    left_too = who_leaves("highest-accuracy", race, in_better_half, CONTROL, 100)
    assert [each.proposal.group for each in left_too] == ["told", "c", "d"]


def test_who_leaves_by_a_tie_is_told_what_broke_it() -> None:
    raced = [evaluated(name, wrong(), loss) for name, loss in (("a", 0.3), ("b", 0.2), ("c", 0.1))]
    (left,) = who_leaves("highest-accuracy", Race(picks=1), raced, CONTROL, 100)
    assert left.proposal.group == "a"
    assert left.reason.endswith("not in the better half, not told apart; ties go to the lower hold-out loss")


def test_as_many_stay_as_may_be_picked_where_they_are_not_told_apart() -> None:
    raced = [evaluated(name, wrong(*range(lost))) for name, lost in (("a", 0), ("b", 1), ("c", 2), ("d", 3))]
    assert [each.proposal.group for each in who_leaves("highest-accuracy", Race(picks=3), raced, CONTROL, 100)] == ["d"]


def test_slopes_are_compared_by_the_control_after_the_same_steps() -> None:
    steep, shallow = evaluated("steep", wrong(1, 2)), evaluated("shallow", wrong(1))
    shallow = replace(shallow, relative_reduction=0.01, slope=-1.0)
    (left,) = who_leaves("best-slope", Race(picks=1), [steep, shallow], CONTROL, 100)
    assert left.proposal is shallow
    assert left.behind.mean == pytest.approx(steep.slope - shallow.slope)


def test_whoever_was_told_apart_at_the_first_rung_rests_and_comes_back() -> None:
    far, near = Difference(0.1, 0.01), Difference(0.01, 0.01)
    left = {(1, "a"): Left(1, far), (1, "b"): Left(1, near), (1, "c"): Left(2, far)}
    groups = ["a", "b", "c", "d"]
    assert resting(Race(rest=2), left, 2, groups) == {"a": 1}
    assert resting(Race(rest=2), left, 3, groups) == {"a": 1}
    assert resting(Race(rest=2), left, 4, groups) == {}
    assert resting(Race(rest=0), left, 2, groups) == {}
    assert resting(Race(rest=2), left, 2, ["a"]) == {}  # nobody else is left


def test_every_group_has_one_proposal_in_every_iteration_and_those_raced_out_say_why() -> None:
    job, _ = racing()
    events = run(job)
    for done in of(IterationDone, events):
        raced_out = [
            each for rung in of(RungDone, events) if rung.iteration == done.iteration for each in rung.raced_out
        ]
        others = of(ProposalEvaluated, events) + of(ProposalSkipped, events)
        groups = [each.group for each in raced_out] + [e.group for e in others if e.iteration == done.iteration]
        assert sorted(groups) == sorted(group.id for group in job.groups)
        assert all(each.reason for each in raced_out)
        assert all((each.rung == 0) == (each.evaluation is None) for each in raced_out)
        ends = rungs(STEPS)
        assert all(each.evaluation.steps == ends[each.rung - 1] for each in raced_out if each.rung)
    assert all(each.evaluation.steps == STEPS for each in of(ProposalEvaluated, events))
    assert any(each.rung == 0 for rung in of(RungDone, events) for each in rung.raced_out)


def test_a_race_picks_what_an_exact_search_picks_for_fewer_steps() -> None:
    alone = replace(RACING, race=Race(picks=1))
    job, fewer = racing(alone)
    raced = of(IterationDone, run(job))
    exact, all_steps = racing(replace(RACING, search="exact"))
    assert [done.picked for done in raced] == [done.picked for done in of(IterationDone, run(exact))]
    assert fewer.steps < all_steps.steps / 2


def test_survivors_go_on_from_where_they_stood() -> None:
    job, executor = racing()
    run(job)
    legs = [each for each in executor.asked if each.begun is not None]
    assert legs
    assert all(each.begun.group == each.group and each.begun.steps < (each.until or STEPS) for each in legs)
    assert all(each.begun.weights is not None and each.begun.memory is not None for each in legs)


def test_cuts_whose_effects_add_up_are_picked_together_and_no_further_than_the_budget() -> None:
    job, _ = racing()
    events = run(job)
    joined = [each for each in of(CutsJoined, events) if each.adds_up]
    assert joined
    picked = {done.iteration: done.picked for done in of(IterationDone, events)}
    assert all(picked[each.iteration] == each.groups for each in joined)
    assert all("add up, and are picked together" in each.text for each in joined)
    exact, _ = racing(replace(RACING, search="exact"))
    assert len(picked) < len(of(IterationDone, run(exact)))
    last = of(IterationDone, events)[-1]
    limit = of(BudgetResolved, events)[0].limits["macs"]
    assert limit * 0.9 < last.after["macs"] <= limit
    for each in joined:
        done = next(done for done in of(IterationDone, events) if done.iteration == each.iteration)
        assert done.after["macs"] >= limit


def test_cuts_whose_effects_do_not_add_up_are_not_and_it_is_said() -> None:
    job, _ = racing(penalty=0.2)
    events = run(job)
    tried = of(CutsJoined, events)
    assert tried
    assert not any(each.adds_up for each in tried)
    assert all("do not add up" in each.text for each in tried)
    assert all(len(done.picked) == 1 for done in of(IterationDone, events))


def test_a_joint_network_that_cannot_be_trained_leaves_the_best_one_alone() -> None:
    job, _ = racing(fail={"conv0 + conv1": 1})
    events = run(job)
    (tried, *_) = of(CutsJoined, events)
    assert not tried.adds_up
    assert "its process died" in tried.text


def test_one_that_fails_on_its_way_is_given_up_and_the_race_goes_on() -> None:
    job, _ = racing(fail={"conv1": 4})
    events = run(job)
    given_up = of(ProposalGivenUp, events)
    assert {each.group for each in given_up} == {"conv1"}
    assert all("conv1" not in done.picked for done in of(IterationDone, events))
    assert of(IterationDone, events)


def test_the_first_leg_is_run_beside_the_control() -> None:
    job, executor = racing()
    run(job)
    together = executor.together[0]
    assert {each.until for each in together if each.group is None} == {None}
    assert {each.until for each in together if each.group is not None} == {rungs(STEPS)[0]}
    assert len(together) == 1 + len(CHANNELS)


def test_with_slopes_a_control_that_has_diverged_stays_so() -> None:
    job, executor = racing(replace(RACING, pick="best-slope"), control_diverges=True)
    assert of(IterationDone, run(job))
    assert all(each.begun is None for each in executor.asked if each.group is None)


def test_whoever_ran_out_of_memory_is_told_of_whether_it_left_or_was_tried_together_with_others() -> None:
    job, executor = racing()
    evaluate = executor.evaluate

    def scarce(*of: Any) -> Iterator[Evaluation | Failure]:
        for found in evaluate(*of):
            yield replace(found, parts=2) if isinstance(found, Evaluation) else found

    executor.evaluate = scarce  # type: ignore[method-assign]
    events = run(job)
    told = [event.text for event in of(Message, events) if "ran out of memory" in event.text]
    groups = [each.group for done in of(RungDone, events) for each in done.raced_out if each.evaluation is not None]
    groups += [" + ".join(tried.groups) for tried in of(CutsJoined, events)]
    groups += [each.group for each in of(ProposalEvaluated, events)]
    groups += ["the control"] * len(of(ControlEvaluated, events))
    assert sorted(text.partition(" of iteration")[0] for text in told) == sorted(groups)


def test_with_slopes_the_control_runs_along() -> None:
    job, executor = racing(replace(RACING, pick="best-slope"))
    run(job)
    untils = {each.until for each in executor.asked if each.group is None}
    assert untils == {None, *rungs(STEPS)}


def test_the_best_is_judged_again_on_further_images_before_others_join_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COSTS, "conv0", 0.015)
    job, _ = racing(replace(RACING, race=Race(picks=3)))
    events = run(replace(job, trainer=StandInTrainer(further_images=300)))
    judged = {(each.iteration, each.group): each.score.accuracy for each in of(ProposalJudged, events)}
    again = [done for done in of(IterationDone, events) if (done.iteration, done.picked[0]) in judged]
    assert any(len(done.picked) > 1 for done in again)
    for done in again:
        there = {group: accuracy for (iteration, group), accuracy in judged.items() if iteration == done.iteration}
        assert there[done.picked[0]] == max(there.values())


def comparable(events: Sequence[Event]) -> list[Any]:
    """Decisions and figures; the joint network's weights are compared by what comes of them."""
    done = of(IterationDone, events)
    return [(each.picked, each.reasons, each.after, dict(each.kept)) for each in done]


@pytest.mark.parametrize("pick", ["highest-accuracy", "best-slope"])
def test_a_race_that_is_cut_off_anywhere_goes_on_to_the_same_end(pick: Any) -> None:
    settings = replace(RACING, pick=pick)
    whole = run(racing(settings, share=0.82)[0])
    assert len(of(IterationDone, whole)) > 1
    for cut_at in range(1, len(whole)):
        told = whole[:cut_at]
        job, executor = racing(settings, share=0.82)
        job = replace(job, executor=RecordedExecutor(executor, recorded(told)))
        events = run(job, progress_after(told))
        finished = len(of(IterationDone, told))
        assert comparable(events) == comparable(whole)[finished:], cut_at


def test_a_race_whose_only_survivor_is_in_the_record_begins_it_anew_and_ends_alike() -> None:
    fail = {f"conv{number}": 1 for number in range(1, len(CHANNELS))}
    settings = replace(RACING, race=Race(picks=1))
    whole = run(racing(settings, share=0.95, fail=fail)[0])
    cut_at = 1 + next(place for place, event in enumerate(whole) if isinstance(event, ProposalEvaluated))
    told = whole[:cut_at]
    job, executor = racing(settings, share=0.95, fail=fail)
    events = run(replace(job, executor=RecordedExecutor(executor, recorded(told))), progress_after(told))
    assert comparable(events) == comparable(whole)


@pytest.mark.parametrize("pick", ["highest-accuracy", "best-slope"])
def test_a_race_that_is_cut_off_twice_in_an_iteration_goes_on_to_the_same_end(pick: Any) -> None:
    def resumed(told: Sequence[Event]) -> list[Event]:
        job, executor = racing(settings, share=0.9)
        return run(replace(job, executor=RecordedExecutor(executor, recorded(told))), progress_after(told))

    settings = replace(RACING, pick=pick)
    whole = run(racing(settings, share=0.9)[0])
    for cut_at in (place for place, event in enumerate(whole, 1) if isinstance(event, RungDone)):
        told = whole[:cut_at]
        again = resumed(told)
        decided = (RungDone, ProposalEvaluated, IterationDone)
        for cut_again_at in (place for place, event in enumerate(again, 1) if isinstance(event, decided)):
            all_told = [*told, *again[:cut_again_at]]
            rest = resumed(all_told)
            assert comparable(rest) == comparable(whole)[len(of(IterationDone, all_told)) :], (cut_at, cut_again_at)
            assert who_left(all_told + rest) == who_left(whole), (cut_at, cut_again_at)


def who_left(told: Sequence[Event]) -> dict[tuple[int, str], int]:
    """At which rung, as the record has it: what is there stays as it was first written."""
    left: dict[tuple[int, str], int] = {}
    for rung in of(RungDone, told):
        for each in rung.raced_out:
            left.setdefault((rung.iteration, each.group), rung.rung)
    return left


def recorded(told: Sequence[Event]) -> dict[str | None, Evaluation | Failure]:
    """What the worker would hand to a resumed search: no weights, and nothing of finished iterations."""
    current = 1 + len(of(IterationDone, told))
    outcomes: dict[str | None, Evaluation | Failure] = {}
    for event in told:
        if isinstance(event, ControlEvaluated | ProposalEvaluated) and event.iteration == current:
            outcomes[event.evaluation.group] = replace(event.evaluation, weights=None, memory=None)
        elif isinstance(event, ProposalGivenUp) and event.iteration == current:
            outcomes[event.group] = Failure(group=event.group, attempts=event.attempts, reason=event.reason)
    return outcomes


def progress_after(told: Sequence[Event]) -> Progress:
    left = {
        (rung.iteration, each.group): Left(each.rung, each.behind)
        for rung in of(RungDone, told)
        for each in rung.raced_out
    }
    decided = next(((rung.iteration, rung.rung) for rung in reversed(of(RungDone, told))), (0, 0))  # the last written
    done = of(IterationDone, told)
    if not done:
        return Progress(races=Races(left, decided))
    last = done[-1]
    return Progress(
        iteration=last.iteration,
        network=last.network,
        kept=last.kept,
        holdout=last.holdout,
        races=Races(left, decided),
    )
