"""The one process of a job that speaks with Ray: it takes orders from its parent and makes tasks of them.

A process of its own, since Ray ends the process that uses it when the cluster goes away, and takes over its signal
handlers; `adapt.executors.ray` starts it and notices its end. It leads a group of processes, to which a cluster that it
starts itself belongs: whoever ends the group ends all of it. Needs no torch.
"""

import os
import queue
import secrets
import signal
import threading
import time
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from adapt.executors.handover import read_task
from adapt.executors.line import Line
from adapt.executors.messages import Away, Beat, Cancel, Connected, Order
from adapt.executors.patience import Patience
from adapt.executors.ray_process import remove
from adapt.parent import wake_at_parents_end

BEAT_S = 1.0
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nobody outside is told of what runs here
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",  # that a head is tried which does not answer, then all is ended
}
# A cluster of the job's own shares a machine with whatever else runs there. What trains goes behind nobody, as with
# processes (Ray's own choice is the lowest priority but four), and what is slow to start is no less there for it.
OF_OUR_OWN = {
    "RAY_worker_niceness": "0",
    "RAY_process_group_cleanup_enabled": "0",  # what trains is in this process's group, and ends with it
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_health_check_timeout_ms": "120000",
}
MOST_WORDS = 500  # characters of an error of Ray's


def main(
    descriptor: int, folder: Path, address: str, processors: str, own_folder: str, silent_s: str, stalled_s: str
) -> None:
    """Serves orders from the pipe at `descriptor` until the parent ends this process or the cluster goes away.

    `address` "" starts a cluster of `processors` on this machine, with its files in `own_folder`.
    """
    wake_at_parents_end()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to answer
    line = Line(Connection(descriptor), partial(_end, folder, Path(own_folder)))
    orders: queue.Queue[Order | Cancel] = queue.Queue()
    threading.Thread(target=_read, args=(line, orders), daemon=True).start()
    threading.Thread(target=_beat, args=(line,), daemon=True).start()
    try:
        _connect(address, int(processors), own_folder)
        from adapt.executors.ray_tasks import Tasks

        tasks = Tasks(line.send, read_task(folder), Patience(silent_s=float(silent_s), stalled_s=float(stalled_s)))
        line.send(Connected())
        tasks.serve(orders)
    except Exception as error:  # Ray's own are of many kinds, RuntimeError and ConnectionError among them
        line.send(Away(f"{type(error).__name__}: {' '.join(str(error).split())[:MOST_WORDS]}"))
        raise


def _end(*folders: Path) -> NoReturn:
    """The parent was killed: nobody else ends what was started for it, or removes what is its. A process of another
    group does, since this one ends with its own."""
    group = os.getpgrp()
    if os.fork() == 0:
        os.setsid()
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        for folder in folders:
            remove(folder)
        os._exit(0)
    while True:
        signal.pause()


def _read(line: Line, orders: queue.Queue[Order | Cancel]) -> None:
    while True:
        orders.put(line.receive())


def _beat(line: Line) -> None:
    while True:
        line.send(Beat())
        time.sleep(BEAT_S)


def _connect(address: str, processors: int, own_folder: str) -> None:
    os.environ.update(ENVIRONMENT)
    # Ray has its processes look for modules in the folder that this one is in.
    empty = Path(own_folder) / "empty"
    empty.mkdir()
    os.chdir(empty)
    if not address:  # no other user of this machine may give it work
        os.environ.update(OF_OUR_OWN, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    import ray

    quiet: dict[str, Any] = {"configure_logging": False, "log_to_driver": False}
    if address:
        ray.init(address=address, **quiet)
    else:
        ray.init(
            address="local",
            num_cpus=processors,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=own_folder,
            **quiet,
        )
