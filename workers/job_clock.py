"""What a worker adds to the running time of the job that it has, by a clock that nobody sets."""

import time
from collections.abc import Callable

from sqlalchemy.orm import Session

from app.jobs.records import ClaimedJob
from app.jobs.running_time import RunningTime


class JobClock:
    """Runs from its making on."""

    def __init__(self, claimed: ClaimedJob, clock: Callable[[], float] = time.monotonic) -> None:
        self._claimed, self._clock = claimed, clock
        self._noted_at, self._noting_at = clock(), 0.0

    def note(self, session: Session) -> float:
        """The job's seconds in all; call `noted` once that is committed. Raises LeaseLost."""
        self._noting_at = self._clock()
        return RunningTime(session).add(self._claimed, self._noting_at - self._noted_at)

    def noted(self) -> None:
        self._noted_at = self._noting_at
