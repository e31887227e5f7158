"""Which proposal becomes the next network, and whether the hold-out tells it from the others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adapt.events import Evaluation, ProposalEvaluated
from adapt.noise import Difference, images_to_tell_apart, paired_difference, standard_error
from adapt.spec import Pick, Resource, Reward


@dataclass(frozen=True, kw_only=True)
class Aim:
    """The resource that an iteration has to lower, of several the one furthest from its budget, and that budget."""

    resource: Resource
    limit: float


def slope(delta_accuracy: float, relative_reduction: float) -> float:
    """dAcc / |dRes|, the reduction relative to the current network's resource furthest from its budget.

    Source: MobileNetV3 (Howard et al., 2019), section 4.2, where the resource is latency. Predictions below never
    make a proposal with no reduction: its constraint asks for a strict one.
    """
    return delta_accuracy / relative_reduction


def mnasnet_reward(accuracy: float, share: float, exponents: Reward) -> float:
    """ACC x (LAT / T)^w, where `share` is LAT / T: what a proposal is predicted to need, as a share of the budget.

    Source: MnasNet (Tan et al., 2019), section 3.1, eq. 2-3, where the resource is latency.
    """
    exponent = exponents.alpha if share <= 1 else exponents.beta
    return accuracy * float(share**exponent)


_Images = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a pick compares, in a `word`. `by_image` gives the same image by image, from what a proposal and the control
    answered rightly: its mean is `value`. `by_control`: the control's score is in it."""

    word: str
    value: Callable[[ProposalEvaluated], float]
    by_image: Callable[[ProposalEvaluated, _Images, _Images], _Images]
    by_control: bool = False


RULES: Mapping[Pick, Rule] = {
    "highest-accuracy": Rule(  # NetAdapt, Algorithm 1, line 12
        word="accuracy",
        value=lambda proposal: proposal.evaluation.accuracy,
        by_image=lambda proposal, right, control: right,
    ),
    "best-slope": Rule(
        word="slope",
        value=lambda proposal: proposal.slope,
        by_image=lambda proposal, right, control: (right - control) / proposal.relative_reduction,
        by_control=True,
    ),
    "mnasnet-reward": Rule(
        word="reward",
        value=lambda proposal: proposal.reward,
        by_image=lambda proposal, right, control: right * proposal.reward_share,
    ),
}


def in_order(rule: Pick, proposals: Sequence[ProposalEvaluated]) -> list[ProposalEvaluated]:
    """The best first by `rule`; ties go to the lower hold-out loss, the larger reduction, the group's id.

    Ties are the normal case when the uploaded network has seen the hold-out.
    """
    value = RULES[rule].value
    return sorted(proposals, key=lambda p: (-value(p), p.evaluation.loss, -p.relative_reduction, p.group))


def pick(rule: Pick, proposals: Sequence[ProposalEvaluated]) -> ProposalEvaluated:
    """The first of them."""
    return in_order(rule, proposals)[0]


def answers(evaluation: Evaluation, images: int) -> NDArray[np.float64]:
    """1 for each hold-out image that was answered rightly, 0 for each other [images]."""
    assert evaluation.right is not None, "whatever is evaluated says which images it answered"
    return np.unpackbits(np.frombuffer(evaluation.right, np.uint8), count=images).astype(np.float64)


def behind(
    rule: Pick, best: ProposalEvaluated, other: ProposalEvaluated, control: Evaluation, images: int
) -> Difference:
    """By how much `best` is ahead in what `rule` compares, which for each rule is a mean over the hold-out's images.

    `control` took as many steps as these two.
    """
    baseline = answers(control, images)
    worth = RULES[rule].by_image
    first, second = (worth(each, answers(each.evaluation, images), baseline) for each in (best, other))
    return paired_difference(first - second)


def why_not(rule: Pick, proposal: ProposalEvaluated, picked: ProposalEvaluated) -> str:
    """The reason, in words, why `proposal` was not the one."""
    value, what = RULES[rule].value, RULES[rule].word
    if value(proposal) < value(picked):
        return f"{what} {value(proposal):.4g} is below {value(picked):.4g} of {picked.group}"
    if proposal.evaluation.loss > picked.evaluation.loss:
        return f"same {what} as {picked.group}, higher hold-out loss"
    return f"same {what} and loss as {picked.group}, no larger reduction"


def close_to(results: Sequence[ProposalEvaluated], picked: ProposalEvaluated, images: int) -> list[ProposalEvaluated]:
    """The other proposals whose accuracy is within the hold-out's standard error of the picked one's, the nearest
    first."""
    best = picked.evaluation.accuracy
    noise = standard_error(best, images) * (1 + 1e-9)
    others = sorted(
        (result for result in results if result is not picked),
        key=lambda result: (abs(result.evaluation.accuracy - best), result.group),
    )
    return [result for result in others if abs(result.evaluation.accuracy - best) <= noise]


def not_told_apart(results: Sequence[ProposalEvaluated], picked: ProposalEvaluated, images: int) -> str | None:
    """In words, with the figures: which of an iteration's proposals are closer to the picked one than the hold-out's
    standard error. None where it tells all others from it."""
    best = picked.evaluation.accuracy
    noise = standard_error(best, images)
    close = close_to(results, picked, images)
    if not close:
        return None
    return (
        f"iteration {picked.iteration}: a hold-out of {images} images does not tell {len(close)} of {len(results) - 1} "
        f"other proposals from the picked one: {picked.group} scores {best:.4f} with a standard error of {noise:.4f}, "
        f"{_nearest(close[0], best)}"
    )


def _nearest(result: ProposalEvaluated, best: float) -> str:
    accuracy = result.evaluation.accuracy
    if accuracy == best:
        return f"{result.group} scores the same"
    needed = images_to_tell_apart(best, accuracy)
    return f"{result.group} {accuracy:.4f}; about {needed} images would tell these two apart (setting holdout)"
