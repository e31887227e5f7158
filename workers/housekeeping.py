"""What the short lane does when it has nothing else to do: about once an hour, rows and files that nobody needs go."""

import logging
import time
from collections.abc import Callable

from app.agent.orders import OrderBook
from app.blobs import sweep
from app.database import unit_of_work
from app.datasets.repository import DatasetRepository
from app.retention import forget_expired, remove_old
from app.scratch import sweep_scratch
from workers.service import Service

log = logging.getLogger(__name__)

EVERY_S = 3600.0


class Housekeeping:
    """Not thread-safe. `clock` gives seconds; the first sweep is due at once (the last run may have been killed)."""

    def __init__(self, service: Service, clock: Callable[[], float] = time.monotonic) -> None:
        self._service, self._clock = service, clock
        self._due = clock()

    def when_idle(self) -> None:
        if self._clock() < self._due:
            return
        service, settings = self._service, self._service.settings
        if remove_old(
            service.sessions,
            service.storage,
            keep_jobs_days=settings.keep_jobs_days,
            keep_unused_days=settings.keep_unused_days,
        ):
            return  # there may be more: the next time, after the work that came meanwhile
        self._due = self._clock() + EVERY_S
        with unit_of_work(service.sessions) as session:
            DatasetRepository(session).forget_refused()
            OrderBook(session).forget_orphans()
        forget_expired(service.sessions)
        if left_behind := sweep_scratch(settings.scratch_dir):
            log.info("swept what killed processes left behind: %s", ", ".join(left_behind))
        if gone := sweep(service.sessions, service.storage):
            log.info("swept %d stored files that nothing needed any more", len(gone))
