"""A worker host: one process per lane, so that short work never waits behind a job of hours."""

import logging
import signal
import subprocess
import sys
import threading
import time

from app.database import migrate
from app.settings import Settings
from workers.parent import watch_parent

log = logging.getLogger(__name__)

LANES = ("short", "long", "webhooks")
LOOK_S = 0.2
RESTART_AFTER_S = 1.0  # a lane that dies at once must not spin
DRAIN_S = 10.0


def run_host(settings: Settings, *, end_with_parent: bool) -> int:
    """Starts the lanes and restarts one that dies, until SIGTERM or SIGINT; then drains them. Returns 0.

    `end_with_parent` is for a host that another program supervises; one started from a shell outlives the shell.
    """
    migrate(settings.database_url)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    if end_with_parent:
        watch_parent(ending.set)
    lanes = {lane: _start(lane) for lane in LANES}
    died_at: dict[str, float] = {}
    while not ending.wait(LOOK_S):
        for lane, process in lanes.items():
            if process.poll() is None:
                continue
            now = time.monotonic()
            if lane not in died_at:
                log.warning("the %s lane died with code %s; it is started again", lane, process.returncode)
                died_at[lane] = now
            elif now - died_at[lane] >= RESTART_AFTER_S:
                lanes[lane] = _start(lane)
                del died_at[lane]
    for process in lanes.values():
        process.terminate()
    for process in lanes.values():
        _end(process)
    return 0


def _start(lane: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "workers", "--lane", lane])


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(DRAIN_S)
    except subprocess.TimeoutExpired:
        log.warning("process %d did not drain in %.0f s and is killed; its lease runs out", process.pid, DRAIN_S)
        process.kill()
        process.wait()
