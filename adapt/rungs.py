"""The rules of a race: at which steps it is judged, who leaves there, and who is let in. Needs no torch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from adapt.events import Evaluation, ProposalEvaluated
from adapt.noise import Difference
from adapt.pick import RULES, behind, in_order
from adapt.search import Left
from adapt.spec import Pick, Race

SHARES = (8, 4, 2)
"""A rung is at an eighth, a quarter and half of the steps."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One that leaves: how far behind the best it is, and why in words."""

    proposal: ProposalEvaluated
    behind: Difference
    reason: str


def rungs(steps: int) -> tuple[int, ...]:
    """After how many of the steps a race is judged: SHARES rounded up, where that leaves something to train."""
    return tuple(sorted({math.ceil(steps / share) for share in SHARES} - {steps}))


def who_leaves(
    rule: Pick, race: Race, raced: Sequence[ProposalEvaluated], control: Evaluation, images: int
) -> list[Verdict]:
    """The better half by the pick's own order stays, and of it leaves whoever the hold-out tells from the best.

    Successive halving (Jamieson and Talwalkar, 2016) with a test for pairs: the difference to the best, image by
    image, is above `race.standard_errors` of its standard errors. As many stay as may be picked together, where the
    test does not tell them from the best. `control` took as many steps as those that are judged.
    """
    best, *others = in_order(rule, raced)
    stay = max(math.ceil(len(raced) / 2), race.picks)
    verdicts = []
    for place, proposal in enumerate(others, 2):
        difference = behind(rule, best, proposal, control, images)
        if place > stay or difference.exceeds(race.standard_errors):
            reason = _why(rule, race, best, proposal, difference, f"{place} of {len(raced)}")
            verdicts.append(Verdict(proposal=proposal, behind=difference, reason=reason))
    return verdicts


def resting(race: Race, left: Mapping[tuple[int, str], Left], iteration: int, groups: Iterable[str]) -> dict[str, int]:
    """The groups that are not let into the race of `iteration` -> the iteration that sent them to rest.

    Whoever was told from the best at the first rung rests for `race.rest` iterations, and is let in again then: what a
    cut costs changes with the network. Where nobody else is left, everybody is let in.
    """
    groups = tuple(groups)
    found = {}
    for group in groups:
        for earlier in range(iteration - 1, iteration - 1 - race.rest, -1):
            once = left.get((earlier, group))
            told = once is not None and once.rung == 1 and once.behind is not None
            if told and once is not None and once.behind is not None and once.behind.exceeds(race.standard_errors):
                found[group] = earlier
                break
    return found if len(found) < len(groups) else {}


def why_resting(race: Race, since: int, once: Left) -> str:
    """The reason, in words, why a group is not let in."""
    assert once.behind is not None, "only who was compared is sent to rest"
    return (
        f"not let into the race: in iteration {since} the first rung told it from the best one ({_errors(once.behind)}"
        f" behind); it is let in again in iteration {since + race.rest + 1}"
    )


def _why(
    rule: Pick, race: Race, best: ProposalEvaluated, proposal: ProposalEvaluated, difference: Difference, place: str
) -> str:
    value, what, steps = RULES[rule].value, RULES[rule].word, proposal.evaluation.steps
    told = "told apart" if difference.exceeds(race.standard_errors) else "not in the better half, not told apart"
    if value(proposal) == value(best):  # then whoever stays has it too
        told += "; ties go to the lower hold-out loss"
    return (
        f"raced out after {steps} steps, {place}: {what} {value(proposal):.4g}, {value(best):.4g} of {best.group}; "
        f"image by image {_errors(difference)} behind: {told}"
    )


def _errors(difference: Difference) -> str:
    if not difference.standard_error:
        return f"{difference.mean:.4f}"
    return f"{difference.mean:.4f} or {difference.mean / difference.standard_error:.1f} standard errors"
