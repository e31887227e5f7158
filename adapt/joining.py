"""Several proposals picked in one iteration, where their effects add up.

NetAdaptV2 (Yang et al., 2021) lets one iteration shrink several layers, since one layer a time is what makes a search
long. Here a step of several groups has to show that it is the sum of its parts: the network with all of their cuts
takes the same short-term fine-tune, and what it answers rightly is compared, image by image, with what the control and
the proposals by themselves let expect.
"""

from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np

from adapt.events import CutsJoined, Evaluation, Event, ProposalEvaluated
from adapt.executors.contract import Failure
from adapt.finetune import candidate, network_of, told_of_parts
from adapt.noise import Difference, paired_difference
from adapt.pick import answers, behind
from adapt.proposals import Option
from adapt.round import Picked, Round
from adapt.second_look import Best


def joined(now: Round, best: Best, others: Sequence[ProposalEvaluated]) -> Generator[Event, None, Picked | None]:
    """The best proposal and those of `others`, in their order, that may go with it, as one trained network; None where
    it is alone, or their effects do not add up, which is said."""
    together = _may_join(now, best.proposal, others)
    if len(together) == 1:
        return None
    positions = {group: kept for proposal in together for group, kept in proposal.positions.items()}
    name = " + ".join(proposal.group for proposal in together)
    trained = candidate(now.job, now.net, now.iteration, name, positions)
    (result,) = now.job.executor.evaluate(now.net.network, now.net.kept, [trained], now.job.stop)
    said = _compared(now, together, result)
    yield said
    if said.evaluation is not None:
        yield from told_of_parts(now.job, now.iteration, said.evaluation)
    if not said.adds_up or isinstance(result, Failure):
        return None
    return Picked(
        proposals=together,
        reasons={group: why for group, why in best.reasons.items() if group not in said.groups},
        net=network_of(now.job, now.net, now.iteration, now.net.keeping(positions), result),
    )


def _may_join(now: Round, best: ProposalEvaluated, others: Sequence[ProposalEvaluated]) -> list[ProposalEvaluated]:
    """The best one, and behind it in order up to `race.picks` in all: each that the hold-out does not tell from the
    best, and whose cut takes the aimed-at resource further down but not past the budget's aim."""
    race, resource = now.job.settings.race, now.aim.resource
    rule, images = now.job.settings.pick, now.net.holdout.images
    together, least = [best], best.predicted[resource]
    for proposal in others:
        if len(together) == race.picks:
            break
        if behind(rule, best, proposal, now.control, images).exceeds(race.standard_errors):
            continue
        option = _option(now, [*together, proposal])
        if now.budget.aim(resource) <= option.predicted[resource] < least and now.situation.falls(option):
            together, least = [*together, proposal], option.predicted[resource]
    return together


def _option(now: Round, together: Sequence[ProposalEvaluated]) -> Option:
    cut = {group: len(kept) for proposal in together for group, kept in proposal.positions.items()}
    predicted = now.situation.predict({**now.situation.counts, **cut})
    return Option(filters=min(cut.values()), predicted=predicted)


def _compared(now: Round, together: Sequence[ProposalEvaluated], result: Evaluation | Failure) -> CutsJoined:
    images = now.net.holdout.images
    baseline = answers(now.control, images)
    parts = [answers(proposal.evaluation, images) - baseline for proposal in together]
    expected = baseline + np.sum(parts, axis=0)
    groups = tuple(proposal.group for proposal in together)
    names, first = " and ".join(groups), groups[0]
    said = CutsJoined(
        iteration=now.iteration,
        groups=groups,
        evaluation=None,
        expected=float(expected.mean()),
        behind=None,
        adds_up=False,
        text=f"iteration {now.iteration}: {names} together could not be trained: {first} alone",
    )
    if isinstance(result, Failure):
        return replace(said, text=f"{said.text} ({result.reason})")
    short = paired_difference(expected - answers(result, images))
    adds_up = not short.exceeds(now.job.settings.race.standard_errors)
    text = _in_words(now, names, first, result, said.expected, short, adds_up)
    return replace(said, evaluation=result, behind=short, adds_up=adds_up, text=text)


def _in_words(
    now: Round, names: str, first: str, result: Evaluation, expected: float, short: Difference, adds_up: bool
) -> str:
    outcome = "they add up, and are picked together" if adds_up else f"they do not add up: {first} is picked alone"
    return (
        f"iteration {now.iteration}: {names} cut together score {result.accuracy:.4f} after {result.steps} steps; by "
        f"their effects one by one {expected:.4f} was expected (image by image {-short.mean:+z.4f}, standard error "
        f"{short.standard_error:.4f}): {outcome}"
    )
