"""`search: exact`: lines 11 to 13 of Algorithm 1 to the letter."""

from collections.abc import Generator, Sequence

from adapt.events import Event, Message, ProposalEvaluated
from adapt.finetune import Beside, Proposal, next_network, outcomes_of, short_term_finetune
from adapt.pick import not_told_apart, pick
from adapt.round import Picked, Round
from adapt.second_look import Best, pick_by_both
from adapt.spec import Settings


class Exact:
    """Every proposal is trained to the end, and the best one is the next network. Implements adapt.round.Lines."""

    def beside_the_control(self, settings: Settings, iteration: int, proposals: Sequence[Proposal]) -> Beside:
        return Beside(proposals)

    def short_term_finetune(
        self, now: Round, proposals: Sequence[Proposal]
    ) -> Generator[Event, None, list[ProposalEvaluated]]:
        outcomes = outcomes_of(now.net, now.iteration, proposals, now.under_way)
        return (yield from short_term_finetune(now.job, now.net, now.iteration, outcomes, now.control, now.aim))

    def pick(self, now: Round, results: Sequence[ProposalEvaluated]) -> Generator[Event, None, Picked]:
        best = pick(now.job.settings.pick, results)  # PickHighestAccuracy, or another rule
        if (noise := not_told_apart(results, best, now.net.holdout.images)) is not None:
            yield Message(text=noise)
        return alone(now, (yield from pick_by_both(now.job, now.net, now.iteration, results, now.control, now.aim)))


def alone(now: Round, best: Best) -> Picked:
    """The best one as the next network."""
    return Picked(
        proposals=(best.proposal,),
        reasons=best.reasons,
        net=next_network(now.job, now.net, now.iteration, best.proposal),
    )
