"""Orders as tasks of a Ray cluster: handed to Ray all at once, listened to, and ended."""

import os
import queue
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import (
    LocalRayletDiedError,
    ObjectStoreFullError,
    OutOfDiskError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from adapt.data.dataset import Part
from adapt.events import Evaluation
from adapt.executors.handover import Iteration, read_candidate, read_iteration, write_result
from adapt.executors.messages import (
    Cancel,
    Cancelled,
    Diverges,
    Done,
    DriverReport,
    Ended,
    Failed,
    Order,
    Stepped,
)
from adapt.executors.patience import Patience, Watch
from adapt.executors.ray_evaluation import Here, Work, evaluate_in_ray, this_machine, versions_here
from adapt.executors.task import TrainingTask

LOOK_S = 0.05
CHECK_S = 5.0  # how often the nodes are looked through while a task waits for one


class NothingToTrainOn(Exception):
    """Of what a task needs the cluster has none: it would wait for ever."""


class _Running:
    """A task that was given to Ray; nobody watches it before Ray has begun it."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.here: Here | None = None
        self.watch = Watch()


class Tasks:
    """Those of one job. What all share lies in the object store once, and once for an iteration."""

    def __init__(self, tell: Callable[[DriverReport], None], task: TrainingTask, patience: Patience) -> None:
        """Raises NothingToTrainOn."""
        self._tell, self._task, self._patience = tell, task, patience
        self._gpus = 1 if task.settings.device == "cuda" else 0
        self._check_nodes()
        self._shared = ray.put(_storable(task))
        # Told here and not by .options(): a process that has a GPU then ends with its task, and leaves it to others.
        self._evaluate = ray.remote(num_cpus=1, num_gpus=self._gpus, num_returns="streaming", max_retries=0)(
            evaluate_in_ray
        )
        self._iteration: tuple[Path, Iteration, Any] | None = None  # its file, what is in it, its network in the store
        self._running: dict[Any, _Running] = {}  # by the stream of the task's values

    def serve(self, orders: queue.Queue[Order | Cancel]) -> None:
        while True:
            while not orders.empty() or not self._running:
                self._take(orders.get())
            if any(running.here is None for running in self._running.values()):
                self._check_nodes_at_times()
            self._listen()

    def _take(self, order: Order | Cancel) -> None:
        if isinstance(order, Cancel):
            self._cancel(list(self._running))
            self._running.clear()
            self._iteration = None
            self._tell(Cancelled())
            return
        try:
            stream = self._begun(order)
        except ConnectionError:
            raise  # this is about the cluster
        except (OSError, ObjectStoreFullError, OutOfDiskError) as error:  # and this about a disk, or a store
            self._tell(Ended(order.result, Failed(f"{type(error).__name__}: {_first_line(error)}", str(error))))
        else:
            self._running[stream] = _Running(order)

    def _begun(self, order: Order) -> Any:
        if self._iteration is None or self._iteration[0] != order.iteration:
            network, shared = read_iteration(order.iteration, self._task)
            work = Work(network, shared.before, this_machine(), versions_here())
            self._iteration = (order.iteration, shared, ray.put(work))
        _, shared, work = self._iteration
        candidate = replace(read_candidate(order.iteration, shared, order.index), parts=order.parts)
        return self._evaluate.remote(self._shared, work, candidate)

    def _check_nodes_at_times(self) -> None:
        if time.monotonic() > self._checked + CHECK_S:
            self._check_nodes()

    def _check_nodes(self) -> None:
        """Raises NothingToTrainOn."""
        self._checked = time.monotonic()
        have = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(each.get("CPU", 0) >= 1 and each.get("GPU", 0) >= self._gpus for each in have):
            what = "a CPU and a GPU" if self._gpus else "a CPU"
            raise NothingToTrainOn(f"no node of the cluster has {what}; ray start --num-cpus, --num-gpus say how many")

    def _listen(self) -> None:
        """Values for LOOK_S; tasks that have been silent for too long are ended."""
        ready, _ = ray.wait(list(self._running), num_returns=1, timeout=LOOK_S)
        for stream in ready:
            self._hear(stream)
        for stream, running in list(self._running.items()):
            if running.here is not None and (complaint := running.watch.complaint(self._patience)) is not None:
                self._cancel([stream])
                self._end(stream, Failed(complaint))

    def _hear(self, stream: Any) -> None:
        try:
            value = ray.get(next(stream))
        except StopIteration:
            self._end(stream, Failed("its task ended without a result"))
        except OutOfMemoryError as error:
            self._end(stream, Failed(_first_line(error), out_of_memory=True))
        except LocalRayletDiedError:
            raise  # this machine is no node of the cluster any more
        except WorkerCrashedError:
            self._end(stream, Failed("its process died; perhaps it was killed, or out of memory"))
        except RayError as error:
            cause = error.cause if isinstance(error, RayTaskError) else error
            self._end(stream, Failed(f"{type(cause).__name__}: {_first_line(cause)}", traceback=str(error)))
        else:
            self._note(stream, value)

    def _note(self, stream: Any, value: Any) -> None:
        running = self._running[stream]
        if isinstance(value, Evaluation):
            self._end(stream, _written(value, running.order))
        elif isinstance(value, Diverges | Failed):
            self._end(stream, value)
        elif isinstance(value, Here):
            running.here, running.watch = value, Watch()
        else:
            running.watch.heard(stepped=isinstance(value, Stepped))

    def _end(self, stream: Any, outcome: Done | Diverges | Failed) -> None:
        self._tell(Ended(self._running.pop(stream).order.result, outcome))

    def _cancel(self, streams: list[Any]) -> None:
        """Ends processes, here at once, also one that is halted; elsewhere Ray sees to it."""
        for stream in streams:
            ray.cancel(stream, force=True)
            here = self._running[stream].here
            if here is not None and here.machine == this_machine():
                with suppress(ProcessLookupError):
                    os.kill(here.pid, signal.SIGKILL)


def _written(evaluation: Evaluation, order: Order) -> Done | Failed:
    try:
        return write_result(evaluation, order)
    except OSError as error:
        return Failed(f"its result could not be written here: {error}")


def _storable(task: TrainingTask) -> TrainingTask:
    """With images that were mapped from a file as an array like any other: only those are stored without a copy in
    every process that reads them."""
    data = task.data
    pool = np.asarray(data.train.images)
    train, holdout = (Part(images=pool, labels=part.labels, rows=part.rows) for part in (data.train, data.holdout))
    return replace(task, data=replace(data, train=train, holdout=holdout))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")
