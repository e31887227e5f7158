"""The worker beside the API: a process of its own, started again whenever it dies."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import app
from app.heartbeat import WatchedProcess

log = logging.getLogger(__name__)

LOOK_S = 0.2
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
DRAIN_S = 9.0  # longer than a worker's own time to drain its lanes, and within what a container is given
COMMAND = (sys.executable, "-m", "workers")


def worker_environment() -> dict[str, str]:
    """Ours, but the worker imports our packages even when the folder it runs in has an `app` of its own."""
    root = str(Path(app.__file__).resolve().parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    path = root if not inherited else os.pathsep.join([root, inherited])
    return {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": path}


def run_worker_in_place() -> None:
    """This process becomes the worker; does not return."""
    os.execve(COMMAND[0], COMMAND, worker_environment())


class WorkerSupervisor:
    """Keeps one worker running from `start` to `stop`. When the supervision itself fails, `failed` is called once."""

    def __init__(
        self,
        failed: Callable[[], None],
        *,
        silent_s: float,
        command: Sequence[str] = COMMAND,
        pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        """A worker that gives no sign of life for `silent_s` hangs: it is killed, and started again as if it died."""
        self._failed, self._command, self._first_pause_s = failed, tuple(command), pause_s
        self._silent_s = silent_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="worker-supervisor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def begin_to_stop(self) -> None:
        """Asks the worker to end, and does not wait for that."""
        self._ending.set()

    def stop(self) -> None:
        """Asks the worker to end, waits, and kills it if it does not; its jobs are picked up at the next start."""
        self._ending.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            self._keep_running()
        except BaseException:
            log.exception("the supervision of the worker failed")
            self._failed()

    def _keep_running(self) -> None:
        pause_s = self._first_pause_s
        while not self._ending.is_set():
            started = time.monotonic()
            worker = WatchedProcess(self._command, worker_environment())
            self._until_it_ends(worker)
            worker.close()
            if self._ending.is_set():
                return
            if time.monotonic() - started > LONGEST_PAUSE_S:
                pause_s = self._first_pause_s
            log.warning("the worker died (code %s); it is started again in %g s", worker.process.returncode, pause_s)
            self._ending.wait(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _until_it_ends(self, worker: WatchedProcess) -> None:
        """Ends it when we are ending, and when it hangs."""
        while not worker.ended:
            if self._ending.wait(LOOK_S):
                if not worker.end(DRAIN_S):
                    log.warning("the worker did not end in %g s and is killed", DRAIN_S)
            elif worker.silent_s() > self._silent_s:
                log.warning("the worker gave no sign of life for %g s and is killed", self._silent_s)
                worker.kill()
