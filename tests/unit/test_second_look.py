"""Proposals that the hold-out does not tell apart are judged again on further images, and these decide among them."""

from dataclasses import replace

import numpy as np
import pytest

from adapt.budget import Share
from adapt.data.split import split_further
from adapt.events import ControlEvaluated, IterationDone, Message, ProposalEvaluated, ProposalJudged, Score
from adapt.executors.recorded import RecordedExecutor
from adapt.loop import adapt_network
from adapt.pick import RULES
from adapt.presets import effective_settings
from adapt.search import Progress
from tests.toy_search import StandInExecutor, StandInTrainer, chain_groups, chain_network, toy_job

ASKED = {"macs": Share(0.5)}
SETTINGS = {"round_channels_to": 4, "min_channels": 4}


def run(trainer: StandInTrainer, **settings: object) -> list:
    chosen = effective_settings({**SETTINGS, **settings})
    return list(adapt_network(toy_job(ASKED, chosen, trainer=trainer), Progress()))


def of(kind: type, events: list) -> list:
    return [event for event in events if isinstance(event, kind)]


def iterations(events: list) -> dict[int, tuple[dict, dict, IterationDone]]:
    """Number -> (evaluated by group, judged by group, how it ended)."""
    found = {}
    for done in of(IterationDone, events):
        own = [each for each in of(ProposalEvaluated, events) if each.iteration == done.iteration]
        again = [each for each in of(ProposalJudged, events) if each.iteration == done.iteration]
        found[done.iteration] = ({e.group: e for e in own}, {e.group: e.score for e in again}, done)
    return found


def test_those_within_the_standard_error_of_the_best_are_judged_again_and_the_best_of_them_is_picked() -> None:
    found = iterations(run(StandInTrainer(further_images=300)))
    judged = [number for number, (_, again, _) in found.items() if again]
    assert judged
    overturned = 0
    for evaluated, again, done in found.values():
        best = max(evaluated.values(), key=lambda each: each.evaluation.accuracy)
        error = Score(accuracy=best.evaluation.accuracy, loss=0.0, images=200).standard_error
        near = {
            group
            for group, each in evaluated.items()
            if abs(each.evaluation.accuracy - best.evaluation.accuracy) <= error + 1e-12
        }
        assert set(again) == (near if len(near) > 1 else set())
        if again:
            assert again[done.picked[0]].accuracy == max(score.accuracy for score in again.values())
            overturned += evaluated[done.picked[0]].evaluation.accuracy < best.evaluation.accuracy
            assert {score.images for score in again.values()} == {500}
            assert all("judged again on 500 images" in done.reasons[group] for group in again if group in done.reasons)
        assert set(done.reasons) == set(evaluated) - set(done.picked)
    assert overturned


def test_a_score_is_that_of_all_images_together() -> None:
    trainer = StandInTrainer(further_images=300)
    events = run(trainer)
    first = of(ProposalJudged, events)[0]
    own = iterations(events)[first.iteration][0][first.group]
    alone = StandInTrainer(further_images=300).judge(trainer.judged[0])
    assert first.score.accuracy == pytest.approx((200 * own.evaluation.accuracy + 300 * alone.accuracy) / 500)
    assert first.score.loss == pytest.approx((200 * own.evaluation.loss + 300 * alone.loss) / 500)


def test_it_is_told_with_the_figures() -> None:
    texts = [event.text for event in of(Message, run(StandInTrainer(further_images=300)))]
    assert any("were judged again on 500 images" in text for text in texts)
    assert any("does not tell" in text for text in texts)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_decides_by_the_figures_of_all_images(rule: str) -> None:
    trainer = StandInTrainer(further_images=100_000)
    for evaluated, again, done in iterations(run(trainer, pick=rule)).values():
        if not again:
            continue
        (picked,) = done.picked
        assert picked in again
        if rule == "mnasnet-reward":
            worth = {
                group: evaluated[group].reward / evaluated[group].evaluation.accuracy * score.accuracy
                for group, score in again.items()
            }
            assert worth[picked] == pytest.approx(max(worth.values()))


def test_without_further_images_nothing_is_judged_again_and_the_pick_is_the_holdouts() -> None:
    trainer = StandInTrainer()
    events = run(trainer)
    assert not of(ProposalJudged, events)
    assert not trainer.judged
    for evaluated, _, done in iterations(events).values():
        best = max(each.evaluation.accuracy for each in evaluated.values())
        assert evaluated[done.picked[0]].evaluation.accuracy == best


def test_an_iteration_read_back_from_the_record_judges_only_what_was_not_and_picks_the_same() -> None:
    network = chain_network()
    groups = chain_groups(network)
    for seed in range(20):  # one with proposals that are near each other in its first iteration
        whole = run(StandInTrainer(further_images=300), pick="best-slope", seed=seed)
        evaluated, again, done = iterations(whole)[1]
        if len(again) > 1:
            break
    assert len(again) > 1
    chosen = effective_settings({**SETTINGS, "pick": "best-slope", "seed": seed})
    control = of(ControlEvaluated, whole)[0].evaluation
    known = dict(list(again.items())[:1])
    recorded = {
        group: replace(each.evaluation, weights=None, again=known.get(group)) for group, each in evaluated.items()
    } | {None: replace(control, weights=None)}
    trainer = StandInTrainer(further_images=300)
    executor = RecordedExecutor(StandInExecutor(network, groups), recorded)
    resumed = list(adapt_network(toy_job(ASKED, chosen, trainer=trainer, executor=executor), Progress()))
    _, judged, ended = iterations(resumed)[1]
    assert set(judged) == set(again) - set(known)
    assert {group: judged[group] for group in judged} == {group: again[group] for group in judged}
    assert (ended.picked, ended.reasons) == (done.picked, done.reasons)
    assert np.array_equal(ended.network.weights["conv0.weight"], done.network.weights["conv0.weight"])


def test_further_images_are_of_every_class_apart_from_the_rest_and_as_many_as_asked_for() -> None:
    labels = np.repeat(np.arange(4), 100)
    rest, further = split_further(labels, seed=3, holdout=100, share=0.4)
    assert len(further) == 100
    assert sorted([*rest, *further]) == list(range(400))
    assert np.bincount(labels[further]).tolist() == [25] * 4
    again = split_further(labels, seed=3, holdout=100, share=0.4)
    assert np.array_equal(again[1], further)


def test_a_holdout_that_is_as_large_already_leaves_all_other_images_to_the_training() -> None:
    labels = np.repeat(np.arange(4), 100)
    for share in (0.0, 0.2):
        rest, further = split_further(labels, seed=3, holdout=100, share=share)
        assert (len(rest), len(further)) == (400, 0)
