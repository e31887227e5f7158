"""What every process of a worker shares: opened once, handed to whoever needs it."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars

from adapt.latency.machine_lock import default_directory
from app.database import Sessions, check_migrated, make_engine, make_sessions, unit_of_work
from app.presence import seen_alive
from app.scratch import scratch_for_this_process
from app.settings import Settings
from app.storage import Storage

Hold = Callable[[Session], None]
"""Locks the row of a worker's job or task. Raises LeaseLost when that is another's by now."""


def _hold_nothing(session: Session) -> None:
    """What is done for no job and no task has no fence."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """`lock_directory` is the machine's measure-or-train lock; `worker_id` names this process in leases. What is
    written for the work at hand and belongs to no row of it (a target's measurements) goes through `writing`."""

    sessions: Sessions
    storage: Storage
    settings: Settings
    lock_directory: Path
    worker_id: str
    hold: Hold = _hold_nothing

    def at_work(self, hold: Hold) -> "Service":
        """For one job or task."""
        return replace(self, hold=hold)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A unit of work of whoever still has the lease. Raises LeaseLost."""
        with unit_of_work(self.sessions) as session:
            self.hold(session)
            yield session


@contextmanager
def open_service(settings: Settings, lane: str, pid: int) -> Iterator[Service]:
    """While it is open, this process is in the register of workers, and its id in every line of its log.

    Raises DatabaseNotMigrated or DatabaseTooNew; OSError when the data folder cannot be written.
    """
    engine = make_engine(settings.database_url)
    lock_directory = default_directory()  # of the whole machine, so before this process has temporary files of its own
    try:
        check_migrated(engine)
        with scratch_for_this_process(settings.scratch_dir, lane) as scratch:
            storage = Storage(settings.storage_url, scratch)
            service = Service(
                sessions=make_sessions(engine, storage),
                storage=storage,
                settings=settings,
                lock_directory=lock_directory,
                worker_id=f"{socket.gethostname()}:{lane}:{pid}",
            )
            with bound_contextvars(worker_id=service.worker_id), seen_alive(service.sessions, service.worker_id, lane):
                yield service
    finally:
        engine.dispose()
