"""What every executor promises. Implementations: serial, processes, ray."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from adapt.events import Evaluation
from adapt.graph.network import Network
from adapt.graph.pruning import Kept
from adapt.stop import Stop


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One proposal to train: which channels of the original stay, and the seed of its short-term fine-tune.

    `group` names it, by the first of its groups where several shrink together. `group` None is the control: nothing
    is cut. `seed` comes from (job seed, iteration, group) alone. A candidate may stop at step `until` (None: at its
    end) and is then evaluated as it stands; whoever gives it again with that evaluation as `begun` lets it go on. It
    ends with the bits of one that never stopped. Batches are computed in `parts`, or in more where memory runs out.
    """

    group: str | None
    kept: Kept
    seed: int
    learning_rate: float
    until: int | None = None
    begun: Evaluation | None = None
    parts: int = 1

    def begun_in(self, parts: int) -> Evaluation | None:
        """What it goes on from where batches are computed in so many parts. Where those were others, or the tensors are
        not at hand (a figure of the record has none), it is begun anew: batch norm would make it another network."""
        begun = self.begun
        if begun is None or begun.weights is None or begun.memory is None or begun.parts != parts:
            return None
        return begun


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A candidate that was given up, and why."""

    group: str | None
    attempts: int
    reason: str


class Executor(Protocol):
    """Cuts, fine-tunes and evaluates the candidates of one iteration.

    Duties: one thread per candidate; a result depends on `network`, `before`, the candidate and the data alone,
    never on order, process or clock, and is the same bit for bit whichever executor made it. Results may come in any
    order. A candidate whose process dies or hangs is tried again elsewhere, three times in all, then a Failure
    is *yielded* in its place. One that runs out of memory is tried again with its batches in twice as many parts.
    While anything trains the machine's lock is held shared. `stop` is asked at least every training step; when it
    turns true, Stopped is raised and nothing keeps running. Where others run the processes, ClusterAway is raised when
    these are away for good. Not thread-safe.
    """

    def evaluate(
        self, network: Network, before: Kept, candidates: Sequence[Candidate], stop: Stop
    ) -> Generator[Evaluation | Failure, None, None]: ...

    def close(self) -> None:
        """Ends child processes; safe to call twice."""
        ...
