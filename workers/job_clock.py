"""What a worker adds to the running time of the job that it has, by a clock that nobody sets."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from app.jobs.records import ClaimedJob
from app.jobs.running_time import RunningTime

Add = Callable[[Session], float]


class JobClock:
    """Runs from its making on. Threads may share one: the lease is renewed in one of its own, and no second counts
    twice."""

    def __init__(self, claimed: ClaimedJob, clock: Callable[[], float] = time.monotonic) -> None:
        self._claimed, self._clock = claimed, clock
        self._noted_at = clock()
        self._lock = threading.Lock()

    @contextmanager
    def noting(self) -> Iterator[Add]:
        """Around a unit of work. Its value adds what has run since the last time, which counts as noted when the block
        ends well, and returns the job's seconds in all; it raises LeaseLost."""
        with self._lock:
            now = self._clock()
            yield lambda session: RunningTime(session).add(self._claimed, now - self._noted_at)
            self._noted_at = now
