"""Which processes serve a lane: each says every few seconds that it lives, by the database's clock."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.database import Sessions, database_now, unit_of_work
from app.tables import WorkerRow

log = logging.getLogger(__name__)

EVERY_S = 5.0
ALIVE_S = 20.0  # silent for longer: dead, or halted
_FORGOTTEN_S = 3600.0


class WorkerRegister:
    """Never commits."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def see(self, worker_id: str, lane: str) -> None:
        now = database_now(self._session)
        self._session.execute(delete(WorkerRow).where(WorkerRow.seen_at < now - timedelta(seconds=_FORGOTTEN_S)))
        row = self._session.get(WorkerRow, worker_id)
        if row is None:
            self._session.add(WorkerRow(id=worker_id, lane=lane, started_at=now, seen_at=now))
        else:
            row.seen_at = now
        self._session.flush()

    def forget(self, worker_id: str) -> None:
        self._session.execute(delete(WorkerRow).where(WorkerRow.id == worker_id))


@contextmanager
def seen_alive(sessions: Sessions, worker_id: str, lane: str, *, every_s: float = EVERY_S) -> Iterator[None]:
    """While the block lasts. For people who look: nothing is decided by it (leases are), so a database that is away is
    no reason to stop working."""
    ended = threading.Event()

    def tell(write: Callable[[WorkerRegister], None]) -> None:
        try:
            with unit_of_work(sessions) as session:
                write(WorkerRegister(session))
        except SQLAlchemyError as error:
            log.warning("the register of workers was not reached: %s", error)

    def keep_telling() -> None:
        tell(lambda register: register.see(worker_id, lane))
        while not ended.wait(every_s):
            tell(lambda register: register.see(worker_id, lane))
        tell(lambda register: register.forget(worker_id))

    thread = threading.Thread(target=keep_telling, name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(EVERY_S)  # a database that hangs must not keep a process from its end
