"""Proposals that the hold-out does not tell apart, judged again on it and on images that were set aside for that."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

from adapt.events import Evaluation, Event, Message, ProposalEvaluated, ProposalJudged, Score
from adapt.finetune import train_control_again, trained_network
from adapt.graph.network import Network
from adapt.pick import RULES, Aim, close_to, mnasnet_reward, pick, slope, why_not
from adapt.search import Current, Job


@dataclass(frozen=True, kw_only=True)
class Best:
    """The proposal that becomes the next network, and of each other one why not (group -> words)."""

    proposal: ProposalEvaluated
    reasons: Mapping[str, str]


def pick_by_both(
    job: Job, net: Current, iteration: int, results: Sequence[ProposalEvaluated], control: Evaluation, aim: Aim
) -> Generator[Event, None, Best]:
    """Line 12: the rule's best on the hold-out. Where others are within its standard error and the job has further
    images (setting `holdout_max`), the best of these by the same rule on both together.

    What was not near is out by the first figures: on more images too, only those were in doubt.
    """
    rule = job.settings.pick
    best = pick(rule, results)
    reasons = {result.group: why_not(rule, result, best) for result in results if result is not best}
    near = close_to(results, best, net.holdout.images)
    if not near or not job.trainer.further_images:
        return Best(proposal=best, reasons=reasons)
    again = yield from _judged(job, net, iteration, [best, *near], control, aim)
    winner = pick(rule, list(again.values()))
    images = net.holdout.images + job.trainer.further_images
    for group, result in again.items():
        if result is not winner:
            reasons[group] = f"judged again on {images} images: {why_not(rule, result, winner)}"
    yield Message(text=_told(iteration, again, best, winner, images, RULES[rule].word))
    return Best(
        proposal=next(result for result in results if result.group == winner.group),
        reasons={group: why for group, why in reasons.items() if group != winner.group},
    )


def _judged(
    job: Job, net: Current, iteration: int, results: Sequence[ProposalEvaluated], control: Evaluation, aim: Aim
) -> Generator[Event, None, dict[str, ProposalEvaluated]]:
    """These with the figures on both parts, by group; a score that is in the record is not taken again."""
    base = _control(job, net, iteration, control) if RULES[job.settings.pick].by_control else control.accuracy
    again = {}
    for result in results:
        score = result.evaluation.again
        if score is None:
            score = _on_both(job, net, result.evaluation, trained_network(job, net, iteration, result))
            yield ProposalJudged(iteration=iteration, group=result.group, score=score)
        delta = score.accuracy - base
        share = result.predicted[aim.resource] / aim.limit
        again[result.group] = replace(
            result,
            evaluation=replace(result.evaluation, accuracy=score.accuracy, loss=score.loss),
            delta_accuracy=delta,
            slope=slope(delta, result.relative_reduction),
            reward=mnasnet_reward(score.accuracy, share, job.settings.reward),
        )
    return again


def _control(job: Job, net: Current, iteration: int, control: Evaluation) -> float:
    """What the slopes are taken against, on both parts too."""
    weights = control.weights or train_control_again(job, net, iteration, control)
    return _on_both(job, net, control, Network(net.network.graph, weights)).accuracy


def _on_both(job: Job, net: Current, first: Evaluation, network: Network) -> Score:
    """Of `network`, which scored `first` on the hold-out."""
    further = job.trainer.judge(network)
    images = net.holdout.images + further.images

    def mean(on_holdout: float, on_further: float) -> float:
        return (on_holdout * net.holdout.images + on_further * further.images) / images

    return Score(accuracy=mean(first.accuracy, further.accuracy), loss=mean(first.loss, further.loss), images=images)


def _told(
    iteration: int,
    again: Mapping[str, ProposalEvaluated],
    best: ProposalEvaluated,
    winner: ProposalEvaluated,
    images: int,
    value: str,
) -> str:
    outcome = "stays the best" if winner.group == best.group else f"is better than {best.group} was"
    return (
        f"iteration {iteration}: {len(again)} proposals that the hold-out does not tell apart were judged again on "
        f"{images} images: by {value} {winner.group} {outcome}, with accuracy {winner.evaluation.accuracy:.4f}"
    )
