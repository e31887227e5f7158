"""The end of a worker that is asked to leave: in order while it is quick, and in time whatever it is at."""

import logging
import os
import signal
import threading
import time

from app.database import unit_of_work
from app.jobs.queue import JobQueue
from app.tasks.queue import TaskQueue
from workers.service import Service

log = logging.getLogger(__name__)

LEAVE_S = 4.0
"""Half of what the host gives its lanes: on a busy machine giving back takes a while, too."""


def end_at_signal() -> threading.Event:
    """Set at SIGTERM and SIGINT, at once: a handler alone would run when the main thread is back in Python, and that
    may be in the middle of a step of minutes."""
    ending = threading.Event()
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)

    def wait() -> None:
        os.read(told, 1)
        ending.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    return ending


def leave_in_time(service: Service, ending: threading.Event) -> None:
    """Starts the thread that ends this process LEAVE_S after `ending` if it has not ended by itself.

    It may be at an import, a file of gigabytes or a long step that asks nobody. What it holds is given back first: its
    fences have gone up then, so whatever it still tries to write is refused.
    """

    def leave() -> None:
        ending.wait()
        time.sleep(LEAVE_S)
        try:
            with unit_of_work(service.sessions) as session:
                JobQueue(session).give_back(service.worker_id)
                TaskQueue(session).give_back(service.worker_id)
            log.warning("still at work after %g s: what was held is given back", LEAVE_S)
        finally:
            os._exit(0)

    threading.Thread(target=leave, name="leaving", daemon=True).start()
