"""A lease kept alive in a thread while the work runs, and the one signal by which the work is told to end."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Literal

from app.database import DATABASE_AWAY
from app.leases import LeaseLost

log = logging.getLogger(__name__)

Reason = Literal["lost", "cancel", "pause", "time", "shutdown"]
RENEW_S = 2.0
"""The longest between two renewals: what was asked of a job meanwhile is heard of by them."""
LOOK_S = 0.5
TRIES = 3
Renew = Callable[[], Reason | None]
"""Renews the lease; answers what was asked of the job meanwhile. Raises LeaseLost."""


class StopSignal:
    """Why the work should end, once there is a reason. Called between training steps: cheap, and safe in threads."""

    def __init__(self, shutdown: Callable[[], bool]) -> None:
        self._shutdown = shutdown
        self._reason: Reason | None = None

    def __call__(self) -> bool:
        return self.reason is not None

    @property
    def reason(self) -> Reason | None:
        return self._reason or ("shutdown" if self._shutdown() else None)

    def set(self, reason: Reason) -> None:
        """The first reason stays, but a lost lease outranks every other: then nothing may be written."""
        if self._reason is None or reason == "lost":
            self._reason = reason


@contextmanager
def held_lease(renew: Renew, signal: StopSignal, *, lease_s: float) -> Iterator[None]:
    """Renews three times per lease at least. When a renewal finds the lease lost, or none succeeded for as long as a
    lease lasts, `signal` says "lost": whoever works must write nothing more."""
    ended = threading.Event()

    def keep() -> None:
        last = time.monotonic()
        while not ended.wait(min(lease_s / 3, RENEW_S)):
            try:
                if (asked := renew()) is not None:
                    signal.set(asked)
                last = time.monotonic()
            except LeaseLost:
                signal.set("lost")
                return
            except Exception:
                log.exception("the lease could not be renewed; trying again")
                if time.monotonic() - last > lease_s:
                    signal.set("lost")
                    return

    # In a copy of this context, so that what the thread logs names the job, too.
    thread = threading.Thread(target=copy_context().run, args=(keep,), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def persistently(work: Callable[[], None], renew: Renew, signal: StopSignal) -> None:
    """Does `work`, and does it again when the database went away meanwhile and is back: it goes on from its record.

    `work` raises nothing else on purpose. Whoever held the lease so far holds on to it, so a connection that was cut is
    no attempt that failed. What fails so each time is left to whoever finds the lease run out.
    """
    for _ in range(TRIES - 1):
        try:
            work()
            return
        except DATABASE_AWAY as error:
            log.warning("the database went away, waiting for it: %s", error)
            _wait_for_database(renew, signal)
    work()


def _wait_for_database(renew: Renew, signal: StopSignal) -> None:
    """Until it takes what is written, or the work is to end anyway."""
    while not signal():
        try:
            if (asked := renew()) is not None:
                signal.set(asked)
            return
        except LeaseLost:
            signal.set("lost")
        except DATABASE_AWAY:
            time.sleep(LOOK_S)
