"""How many answers somebody may hold open at a time: event streams, and agents that wait for work."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

RETRY_AFTER_S = 5


class TooManyStreams(Exception):
    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"{self.limit} event streams or waiting agents of yours are open, which is the limit "
            "(max_streams_per_owner); close one, or ask without a stream"
        )


class OpenStreams:
    """Counts in this process's memory. `limit` 0: as many as there are connections."""

    def __init__(self, limit: int) -> None:
        self._limit, self._lock, self._open = limit, threading.Lock(), Counter[str]()

    @contextmanager
    def held(self, owner: str) -> Iterator[None]:
        """One more for the length of the block. Raises TooManyStreams."""
        with self._lock:
            if 0 < self._limit <= self._open[owner]:
                raise TooManyStreams(self._limit)
            self._open[owner] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[owner] -= 1
                if not self._open[owner]:
                    del self._open[owner]
