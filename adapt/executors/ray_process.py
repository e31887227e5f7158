"""The parent's end of `adapt.executors.ray_driver`: starting it, listening, noticing that it or the cluster is gone."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from adapt.errors import Stopped
from adapt.executors.child_process import Started, start_program
from adapt.executors.messages import Away, Cancel, Cancelled, Connected, DriverReport, Ended, Order
from adapt.executors.patience import Patience, Watch
from adapt.stop import Stop

HANGS = Patience(silent_s=120.0, stalled_s=float("inf"))  # of the driver itself, which beats every second
CANCEL_S = 10.0
LAST_WRITES_S = 60.0
MOST_WORDS = 300  # characters of what it said last
# Sockets lie in it, and the kernel takes paths of 107 characters: a scratch folder's may be longer than leaves room.
# mkdtemp makes a folder there that is this user's own.
SHORT = "/tmp"  # nosec B108


class DriverGone(Exception):
    """Why it can no longer be worked with."""


class RayDriver:
    """Serves one job. Not thread-safe."""

    def __init__(self, started: Started, own_folder: Path) -> None:
        self._process, self._connection = started.process, started.connection
        self._log, self._own_folder = started.log, own_folder
        self._watch, self._connected = Watch(), False

    def give(self, order: Order | Cancel) -> None:
        """Whether it is there to take it is found out by listening."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(order)

    def listen(self, at_most_s: float) -> Iterator[Ended]:
        """Those that ended. Raises DriverGone, after what was heard before; then nothing of it runs any more."""
        return (report for report in self._reports(at_most_s) if isinstance(report, Ended))

    def wait_for_cluster(self, within_s: float, stop: Stop, look_s: float) -> None:
        """Raises DriverGone, Stopped."""
        until = time.monotonic() + within_s
        while not any(isinstance(report, Connected) for report in self._reports(look_s)):
            if stop():
                raise Stopped("stopped while the Ray cluster was connected to")
            if time.monotonic() > until:
                self._gone(f"no connection within {within_s:.0f} s")
        self._connected = True

    def cancel(self) -> bool:
        """Whether everything it was given is known to have ended."""
        self.give(Cancel())
        until = time.monotonic() + CANCEL_S
        try:
            while time.monotonic() < until:
                if any(isinstance(report, Cancelled) for report in self._reports(0.1)):
                    return True
        except DriverGone:
            return False
        return False

    def kill(self) -> None:
        """With the cluster that it started, if it did; Ray ends the tasks of one that is gone. Safe to call twice."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._connection.close()
        remove(self._own_folder)

    def _reports(self, at_most_s: float) -> Iterator[DriverReport]:
        try:
            wait_s = at_most_s
            while self._connection.poll(wait_s):
                report: DriverReport = self._connection.recv()
                self._watch.heard(stepped=False)
                if isinstance(report, Away):
                    self._gone(report.reason)
                yield report
                wait_s = 0.0
        except (EOFError, OSError):
            self._gone(self._end())
        if (complaint := self._watch.complaint(HANGS)) is not None:
            self._gone(complaint)

    def _gone(self, why: str) -> None:
        self.kill()
        raise DriverGone(why)

    def _end(self) -> str:
        code = self._process.wait()
        lines = self._log.read_text(errors="replace").strip().splitlines()
        last = f": {lines[-1][:MOST_WORDS]}" if lines else ""
        ended = f"the process that speaks with it ended with exit code {code}{last}"
        return f"{ended}; Ray ends it when the head is lost" if self._connected else f"no connection: {ended}"


def start_driver(folder: Path, address: str, processors: int, patience: Patience) -> RayDriver:
    """For the task in `folder`; nothing is known of the cluster yet. `patience` is for the tasks."""
    own_folder = Path(tempfile.mkdtemp(prefix="netadapt-ray-", dir=SHORT))
    started = start_program(
        "adapt.executors.ray_driver",
        folder,
        "ray-driver",
        address,
        str(processors),
        str(own_folder),
        str(patience.silent_s),
        str(patience.stalled_s),
        leads_a_group=True,
    )
    return RayDriver(started, own_folder)


def remove(folder: Path) -> None:
    """Also where processes that were just killed have still to write their last."""
    until = time.monotonic() + LAST_WRITES_S
    while folder.exists() and time.monotonic() < until:
        shutil.rmtree(folder, ignore_errors=True)
