"""What a Ray task does, in a process of Ray's: one candidate evaluated, with a sign of life every second.

A task is a generator, and each value that it yields reaches the driver at once. Ray itself notices a process that is
gone, but not one that is halted. Importing this loads no torch, so signs of life come before torch is there.
"""

import os
import platform
import queue
import socket
import threading
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from adapt.events import Evaluation
from adapt.executors.contract import Candidate
from adapt.executors.messages import Beat, Diverges, Failed, Stepped
from adapt.executors.task import TrainingTask
from adapt.graph.network import Network
from adapt.graph.pruning import Kept
from adapt.latency.machine_lock import MachineLock, default_directory

if TYPE_CHECKING:
    from adapt.training.supervision import Pulse

BEAT_S = 1.0


@dataclass(frozen=True)
class Work:
    """What the tasks of one iteration share; `machine` is the one that the job's worker is on, `versions` are its."""

    network: Network
    before: Kept
    machine: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Here:
    """The first value of a task: which process on which machine trains it."""

    machine: str
    pid: int


def this_machine() -> str:
    """No other one has the same, a container with process ids of its own among them, whatever its name."""
    name, boot, namespace = socket.gethostname(), Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if not boot.exists():
        return name  # no Linux
    return f"{name} {boot.read_text().strip()} {namespace.readlink()}"


def versions_here() -> Mapping[str, str]:
    """Of what the bits of a result hang on."""
    packages = ("netadapt-service", "torch", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


Value = Here | Beat | Stepped | Evaluation | Diverges | Failed


def evaluate_in_ray(task: TrainingTask, work: Work, candidate: Candidate) -> Iterator[Value]:
    """The last value is what the candidate came to. Arrays of `task` and `work` lie in the object store: read only,
    and not copied into this process."""
    yield Here(this_machine(), os.getpid())
    if (here := versions_here()) != work.versions:
        yield Failed(f"{socket.gethostname()} has {_named(here)}, the worker {_named(work.versions)}: they must agree")
        return
    ends: queue.Queue[Evaluation | Diverges | Failed] = queue.Queue()
    stepped = threading.Event()

    def train() -> None:
        try:
            ends.put(_outcome(task, work, candidate, stepped))
        except BaseException as error:  # nobody else would hear of it, and whoever waits would wait on
            ends.put(Failed(f"{type(error).__name__}: {error}", traceback.format_exc()))

    threading.Thread(target=train, daemon=True).start()
    while True:
        try:
            yield ends.get(timeout=BEAT_S)
            return
        except queue.Empty:
            yield Stepped() if stepped.is_set() else Beat()
            stepped.clear()


def _outcome(
    task: TrainingTask, work: Work, candidate: Candidate, stepped: threading.Event
) -> Evaluation | Diverges | Failed:
    from adapt.executors.evaluate import outcome_of

    def telling(pulse: "Pulse") -> "Pulse":
        def told() -> None:
            pulse()
            stepped.set()

        return told

    return outcome_of(task, work.network, work.before, candidate, _lock(task.lock_directory, work.machine), telling)


def _named(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _lock(directory: Path | None, machine: str) -> MachineLock | None:
    """The machine's: on another one than the worker's it lies where that one's own processes look for it."""
    if directory is None:
        return None
    return MachineLock(directory if this_machine() == machine else default_directory())
