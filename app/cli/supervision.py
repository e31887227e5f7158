"""The processes beside the first one of the API, a worker and further ones of the API: started again when they die."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import app
from app.ctrl_c import keep_ctrl_c_back
from app.heartbeat import WatchedProcess

log = logging.getLogger(__name__)

LOOK_S = 0.2
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
DRAIN_S = 9.0  # longer than a worker's own time to drain its lanes, and within what a container is given
WORKER = (sys.executable, "-m", "workers")
FURTHER_API = (sys.executable, "-m", "app.further_api")


def child_environment() -> dict[str, str]:
    """Ours, but the child imports our packages even when the folder it runs in has an `app` of its own."""
    root = str(Path(app.__file__).resolve().parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    path = root if not inherited else os.pathsep.join([root, inherited])
    return {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": path}


def run_worker_in_place() -> None:
    """This process becomes the worker; does not return."""
    keep_ctrl_c_back()
    os.execve(WORKER[0], WORKER, child_environment())


class Supervisor:
    """Keeps one process running from `start` to `stop`. When the supervision itself fails, `failed` is called once."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        failed: Callable[[], None],
        *,
        silent_s: float,
        handed_down: Sequence[int] = (),
        pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        """`name` is what the log calls it. One that gives no sign of life for `silent_s` hangs: it is killed, and
        started again as if it died. `handed_down` are the open files that it shares."""
        self._name, self._command, self._failed = name, tuple(command), failed
        self._silent_s, self._handed_down, self._first_pause_s = silent_s, handed_down, pause_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"supervisor of {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def begin_to_stop(self) -> None:
        """Asks the process to end, and does not wait for that."""
        self._ending.set()

    def stop(self) -> None:
        """Asks the process to end, waits, and kills it if it does not; a worker's jobs are picked up at the next
        start."""
        self._ending.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            self._keep_running()
        except BaseException:
            log.exception("the supervision of %s failed", self._name)
            self._failed()

    def _keep_running(self) -> None:
        pause_s = self._first_pause_s
        while not self._ending.is_set():
            started = time.monotonic()
            child = WatchedProcess(self._command, child_environment(), handed_down=self._handed_down)
            self._until_it_ends(child)
            child.close()
            if self._ending.is_set():
                return
            if time.monotonic() - started > LONGEST_PAUSE_S:
                pause_s = self._first_pause_s
            code = child.process.returncode
            log.warning("%s died (code %s); it is started again in %g s", self._name, code, pause_s)
            self._ending.wait(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _until_it_ends(self, child: WatchedProcess) -> None:
        """Ends it when we are ending, and when it hangs."""
        while not child.ended:
            if self._ending.wait(LOOK_S):
                if not child.end(DRAIN_S):
                    log.warning("%s did not end in %g s and is killed", self._name, DRAIN_S)
            elif child.silent_s() > self._silent_s:
                log.warning("%s gave no sign of life for %g s and is killed", self._name, self._silent_s)
                child.kill()
