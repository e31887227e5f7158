"""Whether this process can do its work: its database is there and of its version, its storage takes and gives files."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping

import anyio
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.database import DatabaseError, check_migrated
from app.storage import Storage, StorageError

log = logging.getLogger(__name__)

WAIT_S = 2.0
KEPT_S = 1.0
OK = "ok"
_LOOK_S = 0.01


class Probe:
    """One check, in a thread of its own: what hangs (a network file system may, for hours) holds up nobody, and is not
    piled upon. An answer is good for KEPT_S, so that nobody can keep a disk busy by asking."""

    def __init__(self, what: str, check: Callable[[], str], clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._check, self._clock = what, check, clock
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._said, self._until = "", 0.0

    async def say(self) -> str:
        """OK, or why not."""
        with self._lock:
            if self._said and self._clock() < self._until:
                return self._said
            thread = self._thread
            if thread is None or not thread.is_alive():
                thread = self._thread = threading.Thread(target=self._look, name=f"{self._what} probe", daemon=True)
                thread.start()
        with anyio.move_on_after(WAIT_S):
            while thread.is_alive():
                await anyio.sleep(_LOOK_S)
        return f"{self._what} does not answer within {WAIT_S:g} s" if thread.is_alive() else self._said

    def _look(self) -> None:
        try:
            said = self._check()
        except Exception:
            log.exception("the %s cannot be used", self._what)
            said = f"{self._what} cannot be used; the log says why"
        with self._lock:
            self._said, self._until = said, self._clock() + KEPT_S


class Readiness:
    def __init__(self, engine: Engine, storage: Storage) -> None:
        self._probes = {
            "database": Probe("database", lambda: _look_at_database(engine)),
            "storage": Probe("storage", lambda: _look_at_storage(storage)),
        }

    async def say(self) -> Mapping[str, str]:
        """Each part -> OK, or why not; in no more than WAIT_S."""
        said = dict.fromkeys(self._probes, "")

        async def ask(part: str) -> None:
            said[part] = await self._probes[part].say()

        async with anyio.create_task_group() as group:
            for part in self._probes:
                group.start_soon(ask, part)
        return said


def _look_at_database(engine: Engine) -> str:
    try:
        check_migrated(engine)
    except DatabaseError as error:
        return str(error)
    except SQLAlchemyError as error:
        log.warning("the database does not answer: %s", error)
        return "the database does not answer"
    return OK


def _look_at_storage(storage: Storage) -> str:
    """A file of its own is written, read and removed, whatever other processes do at the same time."""
    content = os.urandom(32)
    try:
        blob = storage.put(content)
        read = storage.read(blob.sha256)
        storage.delete(blob.sha256)
    except (StorageError, OSError) as error:
        log.warning("the storage cannot be used: %s", error)
        return str(error) if isinstance(error, StorageError) else f"the storage cannot be used: {error.strerror}"
    return OK if read == content else "the storage gives back other bytes than were written"
