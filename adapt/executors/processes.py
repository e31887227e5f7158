"""Candidates in a pool of processes, each on one thread. A child that dies or hangs is replaced, its candidate tried
again."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path

from adapt.errors import Stopped
from adapt.events import Evaluation
from adapt.executors.attempts import Attempt, Attempts
from adapt.executors.child_process import ChildProcess, start_child
from adapt.executors.contract import Candidate, Failure
from adapt.executors.handover import Handover, read_result
from adapt.executors.messages import Diverges, Done, Failed, Order
from adapt.executors.patience import Patience
from adapt.executors.task import TrainingTask
from adapt.graph.network import Network
from adapt.graph.pruning import Kept
from adapt.stop import Stop

LOOK_S = 0.1  # how often `stop` is asked while nothing is heard


class ProcessExecutor:
    """`adapt.executors.contract.Executor` over `workers` child processes, started when first needed.

    Children keep torch and the data between iterations. They end at once when this process does, even by kill -9.
    """

    def __init__(self, task: TrainingTask, *, workers: int = 2, patience: Patience | None = None) -> None:
        if workers < 1:
            raise ValueError(f"workers: {workers} asked, at least one is needed")
        self._workers = workers
        self._batch = min(task.settings.batch_size, len(task.data.train))
        self._patience = Patience() if patience is None else patience
        self._children: list[ChildProcess] = []
        self._started = 0
        self._handover = Handover(task)

    @property
    def child_pids(self) -> list[int]:
        """Of the children that live now."""
        return [child.pid for child in self._children if child.alive]

    def evaluate(
        self, network: Network, before: Kept, candidates: Sequence[Candidate], stop: Stop
    ) -> Generator[Evaluation | Failure, None, None]:
        """Results in the order in which they end. Raises Stopped, and then nothing trains any more."""
        attempts = Attempts(candidates, self._batch)
        running: dict[int, Attempt] = {}  # by the child's pid
        with self._handover.iteration(network, before, candidates) as iteration:
            try:
                while attempts.waiting or running:
                    if stop():
                        raise Stopped("stopped while candidates were evaluated")
                    self._hand_out(iteration, attempts, running)
                    ended: list[Evaluation | Failure] = []
                    for attempt, order, outcome in self._listen(running):
                        if isinstance(outcome, Done):
                            ended.append(replace(read_result(order, outcome), attempts=attempt.number))
                        elif (failure := attempts.failed(attempt, outcome)) is not None:
                            ended.append(failure)
                    self._hand_out(iteration, attempts, running)  # nobody idles while the results are recorded
                    yield from ended
            finally:  # also when nobody asks for the other results: nothing keeps running
                for child in [child for child in self._children if child.pid in running]:
                    self._discard(child)

    def close(self) -> None:
        """Ends the children; safe to call twice."""
        for child in list(self._children):
            self._discard(child)
        self._handover.remove()

    def _hand_out(self, iteration: Path, attempts: Attempts, running: dict[int, Attempt]) -> None:
        while attempts.waiting and len(running) < self._workers:
            child = self._idle_child()
            attempt = attempts.take()
            child.give(attempt.order(iteration))
            running[child.pid] = attempt

    def _listen(self, running: dict[int, Attempt]) -> Iterator[tuple[Attempt, Order, Done | Diverges | Failed]]:
        """The attempts that ended, after at most LOOK_S."""
        busy = {child: child.order for child in self._children if child.order is not None}
        wait([child.connection for child in busy], LOOK_S)
        for child, order in busy.items():
            outcome = child.hear(self._patience)
            if outcome is not None:
                if not child.alive:
                    self._discard(child)
                yield running.pop(child.pid), order, outcome

    def _idle_child(self) -> ChildProcess:
        for child in [child for child in self._children if child.order is None]:
            if child.alive:
                return child
            self._discard(child)  # it died while it had nothing to do
        self._started += 1
        child = start_child(self._handover.folder, self._started)
        self._children.append(child)
        return child

    def _discard(self, child: ChildProcess) -> None:
        child.kill()
        if child in self._children:
            self._children.remove(child)
