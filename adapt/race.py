"""`search: racing`: lines 11 to 13 of Algorithm 1 for fewer steps.

Line 11 is a race. All proposals train for a few steps; the worse half leaves, and whoever else the hold-out tells from
the best (adapt.rungs); the others train on from where they stand, so that one which comes to the end took exactly the
steps of an exact search. Line 12 may pick several of them at once (adapt.joining).
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace

from adapt.errors import ProposalFailed
from adapt.events import Evaluation, Event, Message, ProposalEvaluated, ProposalGivenUp, ProposalRacedOut, RungDone
from adapt.exact import best_alone
from adapt.finetune import (
    Proposal,
    control_candidate,
    cut_of,
    only_result,
    outcomes,
    short_term_finetune,
    told_of_parts,
    with_figures,
)
from adapt.joining import joined
from adapt.pick import in_order, not_told_apart
from adapt.round import Picked, Round
from adapt.rungs import resting, rungs, who_leaves, why_resting
from adapt.search import Left, Progress


class Racing:
    """Implements adapt.round.Lines. Remembers who left which race, from the record where a search goes on: what is
    decided there stays decided, and those that are left train in one go to the first rung that is not."""

    def __init__(self, progress: Progress) -> None:
        self._left = dict(progress.races.left)
        self._decided = progress.races.decided

    def beside_the_control(self, proposals: Sequence[Proposal]) -> Sequence[Proposal]:
        return ()  # who is let in, and how far it trains first, is the race's to say

    def short_term_finetune(
        self, now: Round, proposals: Sequence[Proposal]
    ) -> Generator[Event, None, list[ProposalEvaluated]]:
        racing = yield from self._let_in(now, proposals)
        begun: dict[str, Evaluation] = {}
        control: Evaluation | None = None
        for rung, until in enumerate(rungs(now.job.settings.short_term_steps), 1):
            if len(racing) > 1 and (now.iteration, rung) > self._decided:
                begun = yield from _train(now, racing, begun, until)
                control = _control_at(now, until, control)
                racing = [proposal for proposal in racing if proposal.bundle.id in begun]
                yield from self._judge(now, rung, racing, begun, control)
                racing = self._still_in(now, racing)
        ends = outcomes(now.job, now.net, now.iteration, racing, begun)
        return (yield from short_term_finetune(now.job, now.net, now.iteration, ends, now.control, now.aim))

    def pick(self, now: Round, results: Sequence[ProposalEvaluated]) -> Generator[Event, None, Picked]:
        ranked = in_order(now.job.settings.pick, results)
        if (noise := not_told_apart(results, ranked[0], now.net.holdout.images)) is not None:
            yield Message(text=noise)
        together = yield from joined(now, ranked)
        if together is not None:
            return together
        return (yield from best_alone(now, results))

    def _let_in(self, now: Round, proposals: Sequence[Proposal]) -> Generator[Event, None, list[Proposal]]:
        """Rung 0: all but those that rest. Who has left this race by the record is not in it either."""
        race = now.job.settings.race
        rest = resting(race, self._left, now.iteration, [proposal.bundle.id for proposal in proposals])
        yield from self._leave(
            now,
            0,
            [
                ProposalRacedOut(
                    **cut_of(now.net, now.iteration, proposal),
                    rung=0,
                    evaluation=None,
                    behind=None,
                    reason=why_resting(race, since, self._left[since, proposal.bundle.id]),
                )
                for proposal in proposals
                if (since := rest.get(proposal.bundle.id)) is not None
            ],
        )
        return self._still_in(now, proposals)

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
        for each in out:
            if each.evaluation is not None:
                yield from told_of_parts(now.job, now.iteration, each.evaluation)
        self._left |= {(now.iteration, each.group): Left(each.rung, each.behind) for each in out}

    def _still_in(self, now: Round, proposals: Sequence[Proposal]) -> list[Proposal]:
        return [proposal for proposal in proposals if (now.iteration, proposal.bundle.id) not in self._left]


def _train(
    now: Round, racing: Sequence[Proposal], begun: Mapping[str, Evaluation], until: int
) -> Generator[Event, None, dict[str, Evaluation]]:
    """Up to step `until`; of those that were given up there is nothing. Raises ProposalFailed when that is nobody."""
    stand: dict[str, Evaluation] = {}
    given_up = None
    for proposal, outcome in outcomes(now.job, now.net, now.iteration, racing, begun, until):
        if isinstance(outcome, ProposalGivenUp):
            given_up = outcome
            yield given_up
        else:
            stand[proposal.bundle.id] = outcome
    if not stand and given_up is not None:
        raise ProposalFailed(f"{given_up.group} of iteration {now.iteration}", given_up.attempts, given_up.reason)
    return stand


def _control_at(now: Round, until: int, begun: Evaluation | None) -> Evaluation:
    """What proposals are compared with after `until` steps. Slopes are by the control, so it takes those steps once
    more; for the other rules it is the same for all of them."""
    if now.job.settings.pick != "best-slope":
        return now.control
    candidate = control_candidate(now.job, now.net, now.iteration)
    return only_result(now.job, now.net, replace(candidate, until=until, begun=begun))
