"""A worker host: one process per lane, so that short work never waits behind a job of hours."""

import logging
import signal
import sys
import threading
import time

from app.database import migrate
from app.heartbeat import WatchedProcess
from app.settings import Settings

log = logging.getLogger(__name__)

LANES = ("short", "measuring", "long", "webhooks")
LOOK_S = 0.2
RESTART_AFTER_S = 1.0  # a lane that dies at once must not spin
DRAIN_S = 8.0  # all lanes together: a container is killed ten seconds after it was asked to end


def run_host(settings: Settings) -> int:
    """Starts the lanes, and again one that dies or hangs, until SIGTERM or SIGINT; then drains them. Returns 0."""
    migrate(settings.database_url)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    lanes = [_Lane(lane, settings.silent_s) for lane in LANES]
    while not ending.wait(LOOK_S):
        for lane in lanes:
            lane.look_after()
    _drain(lanes)
    return 0


class _Lane:
    """The process that serves a lane, whichever it is at the moment."""

    def __init__(self, name: str, silent_s: float) -> None:
        self.name, self._silent_s = name, silent_s
        self.process = self._start()
        self._died_at: float | None = None

    def look_after(self) -> None:
        """Kills it when it hangs; starts it again when it is dead for long enough."""
        if not self.process.ended:
            if self.process.silent_s() > self._silent_s:
                log.warning("the %s lane gave no sign of life for %g s and is killed", self.name, self._silent_s)
                self.process.kill()
        elif self._died_at is None:
            code = self.process.process.returncode
            log.warning("the %s lane died with code %s; it is started again", self.name, code)
            self._died_at = time.monotonic()
        elif time.monotonic() - self._died_at >= RESTART_AFTER_S:
            self.process.close()
            self.process, self._died_at = self._start(), None

    def _start(self) -> WatchedProcess:
        return WatchedProcess([sys.executable, "-m", "workers", "--lane", self.name])


def _drain(lanes: list[_Lane]) -> None:
    end = time.monotonic() + DRAIN_S
    for lane in lanes:
        lane.process.process.terminate()
    for lane in lanes:
        if not lane.process.wait(end - time.monotonic()):
            log.warning("the %s lane did not drain in %g s and is killed; its lease runs out", lane.name, DRAIN_S)
