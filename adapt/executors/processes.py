"""Candidates in a pool of processes, each on one thread. A child that dies or hangs is replaced, its candidate tried
again."""

import logging
import shutil
import tempfile
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path

from safetensors.numpy import load_file

from adapt.errors import Stopped
from adapt.events import Evaluation
from adapt.executors.child_process import ChildProcess, Patience, start_child
from adapt.executors.contract import Candidate, Failure
from adapt.executors.handover import beside, read_weights_in, write_iteration, write_task
from adapt.executors.messages import Diverges, Done, Failed, Order
from adapt.executors.task import ATTEMPTS, TrainingTask
from adapt.graph.network import Network
from adapt.graph.pruning import Kept
from adapt.spec import FEWEST_AT_ONCE
from adapt.stop import Stop

LOOK_S = 0.1  # how often `stop` is asked while nothing is heard
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Attempt:
    """`parts` are those in which the candidate's batches are computed."""

    index: int
    number: int
    parts: int


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
        self._started = self._iterations = 0
        self._folder = Path(tempfile.mkdtemp(prefix="netadapt-executor-"))
        try:
            write_task(task, self._folder)
        except BaseException:
            self.close()
            raise

    @property
    def child_pids(self) -> list[int]:
        """Of the children that live now."""
        return [child.pid for child in self._children if child.alive]

    def evaluate(
        self, network: Network, before: Kept, candidates: Sequence[Candidate], stop: Stop
    ) -> Generator[Evaluation | Failure, None, None]:
        """Results in the order in which they end. Raises Stopped, and then nothing trains any more."""
        self._iterations += 1
        iteration = self._folder / f"iteration-{self._iterations}.pickle"
        write_iteration(iteration, network, before, tuple(candidates))
        waiting = deque(_Attempt(index, 1, candidate.parts) for index, candidate in enumerate(candidates))
        running: dict[int, _Attempt] = {}  # by the child's pid
        try:
            while waiting or running:
                if stop():
                    raise Stopped("stopped while candidates were evaluated")
                self._hand_out(iteration, waiting, running)
                ended = []
                for attempt, order, outcome in self._listen(running):
                    result = self._result(candidates[attempt.index], attempt, order, outcome)
                    if result is None:
                        waiting.append(_again(attempt, outcome))
                    else:
                        ended.append(result)
                self._hand_out(iteration, waiting, running)  # nobody idles while the results are recorded
                yield from ended
        finally:  # also when nobody asks for the other results: nothing keeps running
            for child in [child for child in self._children if child.pid in running]:
                self._discard(child)
            for path in self._folder.glob(f"{iteration.stem}*"):
                path.unlink()

    def close(self) -> None:
        """Ends the children; safe to call twice."""
        for child in list(self._children):
            self._discard(child)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _hand_out(self, iteration: Path, waiting: deque[_Attempt], running: dict[int, _Attempt]) -> None:
        while waiting and len(running) < self._workers:
            child = self._idle_child()
            attempt = waiting[0]
            result = self._folder / f"{iteration.stem}-{attempt.index}-{attempt.number}.safetensors"
            child.give(Order(iteration, attempt.index, result, attempt.parts))
            running[child.pid] = waiting.popleft()

    def _listen(self, running: dict[int, _Attempt]) -> Iterator[tuple[_Attempt, Order, Done | Diverges | Failed]]:
        """The attempts that ended, after at most LOOK_S."""
        busy = {child: child.order for child in self._children if child.order is not None}
        wait([child.connection for child in busy], LOOK_S)
        for child, order in busy.items():
            outcome = child.hear(self._patience)
            if outcome is not None:
                if not child.alive:
                    self._discard(child)
                yield running.pop(child.pid), order, outcome

    def _result(
        self, candidate: Candidate, attempt: _Attempt, order: Order, outcome: Done | Diverges | Failed
    ) -> Evaluation | Failure | None:
        """None: to be tried again."""
        if isinstance(outcome, Done):
            weights = read_weights_in(order.result, outcome.names)
            order.result.unlink()
            memory = None
            if outcome.remembers:
                memory = load_file(beside(order.result))
                beside(order.result).unlink()
            return replace(outcome.evaluation, attempts=attempt.number, weights=weights, memory=memory)
        if isinstance(outcome, Failed):
            name = candidate.group or "control"
            log.warning("candidate %s, attempt %d: %s\n%s", name, attempt.number, outcome.reason, outcome.traceback)
            if attempt.number < ATTEMPTS or (outcome.out_of_memory and self._can_halve(attempt)):
                return None
        return Failure(group=candidate.group, attempts=attempt.number, reason=outcome.reason)

    def _can_halve(self, attempt: _Attempt) -> bool:
        return self._batch // (2 * attempt.parts) >= FEWEST_AT_ONCE

    def _idle_child(self) -> ChildProcess:
        for child in [child for child in self._children if child.order is None]:
            if child.alive:
                return child
            self._discard(child)  # it died while it had nothing to do
        self._started += 1
        child = start_child(self._folder, self._started)
        self._children.append(child)
        return child

    def _discard(self, child: ChildProcess) -> None:
        child.kill()
        if child in self._children:
            self._children.remove(child)


def _again(attempt: _Attempt, outcome: Done | Diverges | Failed) -> _Attempt:
    """What died for memory takes twice as many parts."""
    halved = isinstance(outcome, Failed) and outcome.out_of_memory
    return _Attempt(attempt.index, attempt.number + 1, attempt.parts * (2 if halved else 1))
