"""A child process of `adapt.executors.processes`: waits for orders, evaluates, reports.

Three threads: one reads the pipe (and ends the process at once when the parent is gone), one beats, the main one
trains. Importing this loads no torch, so the heart beats before torch is there.
"""

import os
import queue
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from adapt.events import Evaluation
from adapt.executors.handover import read_candidate, read_iteration, read_task, write_result
from adapt.executors.line import Line
from adapt.executors.messages import Beat, Order, Report, Stepped
from adapt.parent import wake_at_parents_end

if TYPE_CHECKING:
    from adapt.training.supervision import Pulse

BEAT_S = 1.0


def main(descriptor: int, folder: Path) -> None:
    """Serves orders from the pipe at `descriptor` until the parent ends this process or itself."""
    wake_at_parents_end()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to answer
    line = Line(Connection(descriptor), partial(_end, folder))
    orders: queue.Queue[Order] = queue.Queue()
    working = threading.Event()
    working.set()
    for serve in (partial(_read, line, orders), partial(_beat, line, working)):
        threading.Thread(target=serve, daemon=True).start()
    evaluate = _evaluator(folder, line)
    while True:
        order = orders.get()
        working.set()
        report = evaluate(order)
        working.clear()
        line.send(report)


def _end(folder: Path) -> NoReturn:
    """The parent was killed: nobody else removes its folder."""
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _read(line: Line, orders: queue.Queue[Order]) -> None:
    while True:
        orders.put(line.receive())


def _beat(line: Line, working: threading.Event) -> None:
    while True:
        working.wait()
        line.send(Beat())
        time.sleep(BEAT_S)


def _evaluator(folder: Path, line: Line) -> Callable[[Order], Report]:
    """Loads torch and the data once; the value carries out an order."""
    from adapt.executors.evaluate import outcome_of
    from adapt.latency.machine_lock import MachineLock
    from adapt.training.device import training_device

    task = read_task(folder)
    training_device(task.settings.device)  # a GPU is woken up before the first candidate's time begins
    lock = None if task.lock_directory is None else MachineLock(task.lock_directory)

    def evaluate(order: Order) -> Report:
        network, iteration = read_iteration(order.iteration, task)
        candidate = replace(read_candidate(order.iteration, iteration, order.index), parts=order.parts)
        found = outcome_of(task, network, iteration.before, candidate, lock, partial(_telling, line))
        return write_result(found, order) if isinstance(found, Evaluation) else found

    return evaluate


def _telling(line: Line, pulse: "Pulse") -> "Pulse":
    """`pulse`, and word to the parent that it goes on: at most once a second."""
    told = time.monotonic()

    def telling() -> None:
        nonlocal told
        pulse()
        if time.monotonic() - told >= BEAT_S:
            told = time.monotonic()
            line.send(Stepped())

    return telling
