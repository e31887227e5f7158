"""One lock per machine: held shared while anything trains, exclusively while anything is measured.

Two files that the kernel locks (`flock`), so a process that is killed lets go of both at once. `busy` is the lock
itself. `turnstile` keeps trainers from starving the measurer: whoever waits for `busy` waits inside the turnstile, the
measurer alone in it. Trainers that are already in step out when they see it closed, and cannot come in again before
the measurer has had its turn.

Every hold opens the files anew, so that threads of one process exclude each other as processes do. The files are not
inherited by programs that are started meanwhile; a process made by fork would share its parent's hold.
"""

import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapt.errors import Stopped
from adapt.stop import Stop, never

LET_GO_S = 2.0  # the longest that a trainer holds on while it calls pause_point
LOOK_S = 0.05  # how often pause_point looks whether somebody wants to measure
POLL_S = 0.01


def default_directory() -> Path:
    """A folder of this user's own in the machine's temporary folder, the same for all of the user's processes.

    Raises PermissionError when somebody else has put something in its place.
    """
    directory = Path(tempfile.gettempdir()) / f"netadapt-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if found.st_uid != os.getuid() or not directory.is_dir() or directory.is_symlink():
        raise PermissionError(f"{directory} does not belong to this user; remove it, or name another lock folder")
    return directory


class MachineLock:
    """Safe to share between threads; a thread that holds it in one way may not ask for it again."""

    def __init__(self, directory: Path | None = None) -> None:
        """`directory` holds the two files and is made when missing; all who share a machine must name the same."""
        self._directory = default_directory() if directory is None else directory
        self._directory.mkdir(parents=True, exist_ok=True)
        self._held = threading.local()

    @contextmanager
    def training(self, stop: Stop = never) -> Iterator["TrainingHold"]:
        """Shared with other trainers; call `pause_point` of the value at every step.

        Raises Stopped when `stop` turns true while waiting.
        """
        with self._once():
            hold = TrainingHold(self._directory, stop)
            try:
                yield hold
            finally:
                hold.release()

    @contextmanager
    def measuring(self, stop: Stop = never) -> Iterator[None]:
        """Alone on the machine. Raises Stopped when `stop` turns true while waiting."""
        with self._once():
            busy = _enter(self._directory, fcntl.LOCK_EX, stop)
            try:
                yield
            finally:
                _unlock(busy)

    @contextmanager
    def _once(self) -> Iterator[None]:
        if getattr(self._held, "held", False):
            raise RuntimeError("this thread already holds the machine's lock: it would wait for itself")
        self._held.held = True
        try:
            yield
        finally:
            self._held.held = False


class TrainingHold:
    """A trainer's share of the machine."""

    def __init__(self, directory: Path, stop: Stop) -> None:
        self._directory = directory
        self._stop = stop
        self._busy: int | None = _enter(directory, fcntl.LOCK_SH, stop)
        self._since = self._looked = time.monotonic()

    def pause_point(self) -> None:
        """Lets a waiting measurer go first; to be called every step, and nearly free when nobody waits.

        Raises Stopped when the hold's `stop` turns true meanwhile; nothing is held then.
        """
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        if now - self._since < LET_GO_S and not _closed(self._directory / "turnstile"):
            return
        self.release()
        self._busy = _enter(self._directory, fcntl.LOCK_SH, self._stop)
        self._since = self._looked = time.monotonic()

    def release(self) -> None:
        """Safe to call twice."""
        if self._busy is not None:
            _unlock(self._busy)
            self._busy = None


def _enter(directory: Path, mode: int, stop: Stop) -> int:
    turnstile = _lock(directory / "turnstile", mode, stop)
    try:
        return _lock(directory / "busy", mode, stop)
    finally:
        _unlock(turnstile)


def _lock(path: Path, mode: int, stop: Stop) -> int:
    """Polls, since a blocked flock could not be stopped."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not _try(descriptor, mode):
            if stop():
                raise Stopped(f"stopped while waiting for {path.name}")
            time.sleep(POLL_S)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _try(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_UN)  # said aloud: closing alone would not do where a fork shares the hold
    os.close(descriptor)


def _closed(turnstile: Path) -> bool:
    descriptor = os.open(turnstile, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        return not _try(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)
