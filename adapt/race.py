"""`search: racing`: lines 11 to 13 of Algorithm 1 for fewer steps.

Line 11 is a race. All proposals train for a few steps; the worse half leaves, and whoever else the hold-out tells from
the best (adapt.rungs); the others train on from where they stand, so that one which comes to the end took exactly the
steps of an exact search. Line 12 may pick several of them at once (adapt.joining).
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace

from adapt.errors import ProposalFailed
from adapt.events import Evaluation, Event, Message, ProposalEvaluated, ProposalGivenUp, ProposalRacedOut, RungDone
from adapt.exact import alone
from adapt.finetune import (
    Beside,
    Outcomes,
    Proposal,
    control_candidate,
    cut_of,
    going_on,
    only_result,
    outcomes,
    outcomes_of,
    short_term_finetune,
    told_of_parts,
    with_figures,
)
from adapt.joining import joined
from adapt.pick import RULES, in_order, not_told_apart
from adapt.round import Picked, Round
from adapt.rungs import resting, rungs, who_leaves, why_resting
from adapt.search import Left, Progress
from adapt.second_look import pick_by_both
from adapt.spec import Race, Settings


class Racing:
    """Implements adapt.round.Lines. Remembers who left which race, from the record where a search goes on: what is
    decided there stays decided, and those that are left train in one go to the first rung that is not."""

    def __init__(self, progress: Progress) -> None:
        self._left = dict(progress.races.left)
        self._decided = progress.races.decided

    def beside_the_control(self, settings: Settings, iteration: int, proposals: Sequence[Proposal]) -> Beside:
        """The first leg of the race, which needs no control to be compared with."""
        rest = self._resting(settings.race, iteration, proposals)
        racing = [each for each in self._still_in(iteration, proposals) if each.bundle.id not in rest]
        return Beside(racing, self._until(settings, iteration, racing))

    def short_term_finetune(
        self, now: Round, proposals: Sequence[Proposal]
    ) -> Generator[Event, None, list[ProposalEvaluated]]:
        settings, i = now.job.settings, now.iteration
        racing = yield from self._let_in(now, proposals)
        leg = outcomes_of(now.net, i, racing, now.under_way)
        control: Evaluation | None = None
        while (until := self._until(settings, i, racing)) is not None:
            stand = yield from _stand_after(leg, i)
            control = _control_at(now, until, control)
            racing = [proposal for proposal in racing if proposal.bundle.id in stand]
            yield from self._judge(now, rungs(settings.short_term_steps).index(until) + 1, racing, stand, control)
            racing = self._still_in(i, racing)
            leg = outcomes(now.job, now.net, i, racing, stand, self._until(settings, i, racing))
        return (yield from short_term_finetune(now.job, now.net, i, leg, now.control, now.aim))

    def pick(self, now: Round, results: Sequence[ProposalEvaluated]) -> Generator[Event, None, Picked]:
        first, *_ = ranked = in_order(now.job.settings.pick, results)
        if (noise := not_told_apart(results, first, now.net.holdout.images)) is not None:
            yield Message(text=noise)
        best = yield from pick_by_both(now.job, now.net, now.iteration, results, now.control, now.aim)
        together = yield from joined(now, best, [result for result in ranked if result is not best.proposal])
        return alone(now, best) if together is None else together

    def _until(self, settings: Settings, iteration: int, racing: Sequence[Proposal]) -> int | None:
        """The step that these train up to: that of the next rung, or None, the end, where nobody is left to leave."""
        if len(racing) < 2:
            return None
        ahead = enumerate(rungs(settings.short_term_steps), 1)
        return next((until for rung, until in ahead if (iteration, rung) > self._decided), None)

    def _let_in(self, now: Round, proposals: Sequence[Proposal]) -> Generator[Event, None, list[Proposal]]:
        """Rung 0: all but those that rest. Who has left this race by the record is not in it either."""
        if (now.iteration, 0) > self._decided:
            rest = self._resting(now.job.settings.race, now.iteration, proposals)
            out = [
                ProposalRacedOut(
                    **cut_of(now.net, now.iteration, proposal),
                    rung=0,
                    evaluation=None,
                    behind=None,
                    reason=why_resting(now.job.settings.race, since, self._left[since, proposal.bundle.id]),
                )
                for proposal in proposals
                if (since := rest.get(proposal.bundle.id)) is not None
            ]
            yield from self._leave(now, 0, out)
        return self._still_in(now.iteration, proposals)

    def _resting(self, race: Race, iteration: int, proposals: Sequence[Proposal]) -> Mapping[str, int]:
        """By group, since which iteration."""
        return resting(race, self._left, iteration, [proposal.bundle.id for proposal in proposals])

    def _judge(
        self, now: Round, rung: int, racing: Sequence[Proposal], begun: Mapping[str, Evaluation], control: Evaluation
    ) -> Generator[Event, None, None]:
        settings = now.job.settings
        by_group = {proposal.bundle.id: proposal for proposal in racing}
        raced = [
            with_figures(now.net, now.iteration, proposal, begun[group], control, now.aim, settings.reward)
            for group, proposal in by_group.items()
        ]
        verdicts = who_leaves(settings.pick, settings.race, raced, control, now.net.holdout.images)
        yield from self._leave(
            now,
            rung,
            [
                ProposalRacedOut(
                    **cut_of(now.net, now.iteration, by_group[verdict.proposal.group]),
                    rung=rung,
                    evaluation=verdict.proposal.evaluation,
                    behind=verdict.behind,
                    reason=verdict.reason,
                )
                for verdict in verdicts
            ],
        )

    def _leave(self, now: Round, rung: int, out: Sequence[ProposalRacedOut]) -> Generator[Event, None, None]:
        """In the record before anybody trains on."""
        yield RungDone(iteration=now.iteration, rung=rung, raced_out=tuple(out))
        self._decided = (now.iteration, rung)
        for each in out:
            if each.evaluation is not None:
                yield from told_of_parts(now.job, now.iteration, each.evaluation)
        self._left |= {(now.iteration, each.group): Left(each.rung, each.behind) for each in out}

    def _still_in(self, iteration: int, proposals: Sequence[Proposal]) -> list[Proposal]:
        return [proposal for proposal in proposals if (iteration, proposal.bundle.id) not in self._left]


def _stand_after(leg: Outcomes, iteration: int) -> Generator[Event, None, dict[str, Evaluation]]:
    """By group; of those that were given up there is nothing. Raises ProposalFailed when that is nobody."""
    stand: dict[str, Evaluation] = {}
    given_up = None
    for proposal, outcome in leg:
        if isinstance(outcome, ProposalGivenUp):
            given_up = outcome
            yield given_up
        else:
            stand[proposal.bundle.id] = outcome
    if not stand and given_up is not None:
        raise ProposalFailed(f"{given_up.group} of iteration {iteration}", given_up.attempts, given_up.reason)
    return stand


def _control_at(now: Round, until: int, begun: Evaluation | None) -> Evaluation:
    """What proposals are compared with after `until` steps. A rule that is by the control has it take those steps
    once more; for the others it is the same for all of them. One that has diverged stays so."""
    if not RULES[now.job.settings.pick].by_control:
        return now.control
    if begun is not None and begun.memory is None:
        return begun
    candidate = replace(control_candidate(now.job, now.net, now.iteration), parts=now.control.parts, until=until)
    return only_result(now.job, now.net, going_on(candidate, begun))
