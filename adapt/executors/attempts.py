"""Who is tried, and tried again: the same rule for every executor whose candidates train in other processes."""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adapt.executors.contract import Candidate, Failure
from adapt.executors.messages import Diverges, Failed, Order
from adapt.executors.task import ATTEMPTS
from adapt.spec import FEWEST_AT_ONCE

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """`parts` are those in which the candidate's batches are computed."""

    index: int
    number: int
    parts: int

    def order(self, iteration: Path) -> Order:
        """To whoever carries it out; `iteration` is the iteration's file."""
        result = iteration.with_name(f"{iteration.stem}-{self.index}-{self.number}.safetensors")
        return Order(iteration, self.index, result, self.parts)


class Attempts:
    """Those of one iteration's `candidates`; `batch` is how many images a step goes by. Not thread-safe."""

    def __init__(self, candidates: Sequence[Candidate], batch: int) -> None:
        self._candidates, self._batch = candidates, batch
        self._waiting = deque(Attempt(index, 1, candidate.parts) for index, candidate in enumerate(candidates))

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def take(self) -> Attempt:
        """The one that has waited the longest."""
        return self._waiting.popleft()

    def put_back(self, attempt: Attempt) -> None:
        """It was not begun, or ended by no fault of its own: it is the next."""
        self._waiting.appendleft(attempt)

    def failed(self, attempt: Attempt, outcome: Diverges | Failed) -> Failure | None:
        """None: it waits to be tried again. What died for memory takes twice as many parts, as often as there is
        something to halve."""
        candidate = self._candidates[attempt.index]
        if isinstance(outcome, Failed):
            name = candidate.group or "control"
            log.warning("candidate %s, attempt %d: %s\n%s", name, attempt.number, outcome.reason, outcome.traceback)
            halves = outcome.out_of_memory and self._can_halve(attempt)
            if attempt.number < ATTEMPTS or halves:
                parts = attempt.parts * (2 if halves else 1)
                self._waiting.append(Attempt(attempt.index, attempt.number + 1, parts))
                return None
        return Failure(group=candidate.group, attempts=attempt.number, reason=outcome.reason)

    def _can_halve(self, attempt: Attempt) -> bool:
        return self._batch // (2 * attempt.parts) >= FEWEST_AT_ONCE
