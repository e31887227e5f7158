"""Signs of life of a process, for the one that started it: a byte a second over a pipe, from a thread of its own.

A process that is halted, or whose interpreter is stuck, never ends, and the kernel says nothing of it. The other way
round the pipe tells the end of whoever listened, even by kill -9: nobody reads it any more.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

from adapt.parent import wake_at_parents_end
from app.ctrl_c import ctrl_c_kept_back, let_ctrl_c_in

BEAT_S = 1.0
NOTICED_S = 1.0  # at most so much silence counts per look: when this process was halted itself, nobody is to blame
_VARIABLE = "NETADAPT_HEARTBEAT"


def beat_for_parent() -> None:
    """For a process of ours, before it imports anything slow. It beats when somebody listens.

    It is asked to end, by SIGTERM, when the one that listened is gone: a lane without its host would go on claiming
    work that nobody can tell it to leave. It was started with Ctrl-C, which reaches all processes of a terminal, kept
    back; from here on, until it has a handler of its own, that ends it without a traceback.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    let_ctrl_c_in()
    descriptor = os.environ.pop(_VARIABLE, None)
    if descriptor is not None:
        os.set_inheritable(int(descriptor), False)
        wake_at_parents_end()
        threading.Thread(target=_beat, args=(int(descriptor),), name="heartbeat", daemon=True).start()


def _beat(descriptor: int) -> None:
    while True:
        try:
            os.write(descriptor, b".")
        except BrokenPipeError:
            os.kill(os.getpid(), signal.SIGTERM)
            return
        time.sleep(BEAT_S)


class WatchedProcess:
    """A child that is expected to beat, from its start on: it calls `beat_for_parent`. Not thread-safe."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] = os.environ,
        *,
        handed_down: Sequence[int] = (),
    ) -> None:
        """`handed_down` are open files of ours that it shares, under the same numbers."""
        self._pipe, theirs = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            with ctrl_c_kept_back():
                self.process = subprocess.Popen(
                    command,
                    env={**environment, _VARIABLE: str(theirs)},
                    pass_fds=[theirs, *handed_down],
                    stdin=subprocess.DEVNULL,
                )
        finally:
            os.close(theirs)
        self._looked, self._silent_s = time.monotonic(), 0.0

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def silent_s(self) -> float:
        """How long nothing was heard of it; to be asked more often than it beats."""
        now = time.monotonic()
        self._silent_s += min(now - self._looked, NOTICED_S)
        self._looked = now
        if self._heard():
            self._silent_s = 0.0
        return self._silent_s

    def end(self, within_s: float) -> bool:
        """SIGTERM; and SIGKILL, with the answer False, if it is still there after `within_s`."""
        self.process.terminate()
        return self.wait(within_s)

    def wait(self, within_s: float) -> bool:
        """Until it ends by itself; it is killed, with the answer False, if it is still there after `within_s`."""
        try:
            self.process.wait(max(0.0, within_s))
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        os.close(self._pipe)

    def _heard(self) -> bool:
        try:
            return bool(os.read(self._pipe, 1 << 16))
        except BlockingIOError:
            return False
