"""What every process of a worker shares: opened once, handed to whoever needs it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from structlog.contextvars import bound_contextvars

from adapt.latency.machine_lock import default_directory
from app.database import Sessions, check_migrated, make_engine, make_sessions
from app.presence import seen_alive
from app.scratch import scratch_for_this_process
from app.settings import Settings
from app.storage import Storage


@dataclass(frozen=True, kw_only=True)
class Service:
    """`lock_directory` is the machine's measure-or-train lock; `worker_id` names this process in leases."""

    sessions: Sessions
    storage: Storage
    settings: Settings
    lock_directory: Path
    worker_id: str


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
