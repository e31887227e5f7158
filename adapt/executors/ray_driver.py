"""The one process of a job that speaks with Ray: it takes orders from its parent and makes tasks of them.

A process of its own, since Ray ends the process that uses it when the cluster goes away, and takes over its signal
handlers; `adapt.executors.ray` starts it and notices its end. It leads a group of processes, to which a cluster that it
starts itself belongs: whoever ends the group ends all of it. Needs no torch.
"""

import os
import queue
import secrets
import shutil
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from adapt.executors.handover import read_task
from adapt.executors.messages import Away, Beat, Cancel, Connected, DriverReport, Order
from adapt.executors.patience import Patience
from adapt.parent import wake_at_parents_end

BEAT_S = 1.0
NOTICED_AFTER_S = "10"  # that Ray tries to reach a head that does not answer, before it ends this process
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nobody outside is told of what runs here
    "RAY_gcs_rpc_server_reconnect_timeout_s": NOTICED_AFTER_S,
}
MOST_WORDS = 500  # characters of an error of Ray's


class Line:
    """The pipe to the parent, shared by the threads. Without a parent there is nothing to live for."""

    def __init__(self, connection: Connection, folders: tuple[Path, ...]) -> None:
        self._connection, self._folders = connection, folders
        self._sending = threading.Lock()

    def send(self, report: DriverReport) -> None:
        try:
            with self._sending:
                self._connection.send(report)
        except OSError:
            self._end()

    def receive(self) -> Order | Cancel:
        try:
            order: Order | Cancel = self._connection.recv()
        except (EOFError, OSError):
            self._end()
        return order

    def _end(self) -> None:
        """The parent was killed: nobody else removes what is its, or ends what was started for it."""
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        os.killpg(os.getpgrp(), signal.SIGKILL)


def main(descriptor: int, folder: Path, address: str, processors: str, own_folder: str, silent_s: str) -> None:
    """Serves orders from the pipe at `descriptor` until the parent ends this process or the cluster goes away.

    `address` "" starts a cluster of `processors` on this machine, with its files in `own_folder`.
    """
    wake_at_parents_end()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to answer
    line = Line(Connection(descriptor), (folder, Path(own_folder)))
    orders: queue.Queue[Order | Cancel] = queue.Queue()
    threading.Thread(target=_read, args=(line, orders), daemon=True).start()
    threading.Thread(target=_beat, args=(line,), daemon=True).start()
    try:
        _connect(address, int(processors), own_folder)
        from adapt.executors.ray_tasks import Tasks

        tasks = Tasks(line.send, read_task(folder), Patience(silent_s=float(silent_s)))
        line.send(Connected())
        tasks.serve(orders)
    except Exception as error:  # Ray's own are of many kinds, RuntimeError and ConnectionError among them
        line.send(Away(f"{type(error).__name__}: {' '.join(str(error).split())[:MOST_WORDS]}"))
        raise


def _read(line: Line, orders: queue.Queue[Order | Cancel]) -> None:
    while True:
        orders.put(line.receive())


def _beat(line: Line) -> None:
    while True:
        line.send(Beat())
        time.sleep(BEAT_S)


def _connect(address: str, processors: int, own_folder: str) -> None:
    os.environ.update(ENVIRONMENT)
    if not address:  # no other user of this machine may give it work
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
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
