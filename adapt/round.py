"""Lines 11 to 13 of Algorithm 1 as a kind of search has them: what they are given, and what they have to give."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from adapt.budget import Budget
from adapt.events import Evaluation, Event, ProposalEvaluated
from adapt.finetune import Beside, Proposal, UnderWay
from adapt.pick import Aim
from adapt.proposals import Situation
from adapt.search import Current, Job
from adapt.spec import Settings


@dataclass(frozen=True, kw_only=True)
class Round:
    """One iteration, from where its proposals are known: `net` is Net_i, `control` what it scores after the same steps,
    `under_way` the proposals that were begun beside it, `aim` the resource that has to fall."""

    job: Job
    budget: Budget
    net: Current
    iteration: int
    situation: Situation
    control: Evaluation
    under_way: UnderWay
    aim: Aim


@dataclass(frozen=True, kw_only=True)
class Picked:
    """The proposals that Net_{i+1} is made of, the best first, of each other one why not (group -> words), and that
    network; its resources are yet to be measured."""

    proposals: Sequence[ProposalEvaluated]
    reasons: Mapping[str, str]
    net: Current


class Lines(Protocol):
    """One object for a whole search."""

    def beside_the_control(self, settings: Settings, iteration: int, proposals: Sequence[Proposal]) -> Beside:
        """Those that are trained whatever the control scores, and how far."""
        ...

    def short_term_finetune(
        self, now: Round, proposals: Sequence[Proposal]
    ) -> Generator[Event, None, list[ProposalEvaluated]]:
        """Line 11. What is handed back was trained to the end. Raises ProposalFailed where that is nothing."""
        ...

    def pick(self, now: Round, results: Sequence[ProposalEvaluated]) -> Generator[Event, None, Picked]:
        """Lines 12 and 13."""
        ...
