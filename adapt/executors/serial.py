"""Candidates one after the other, in this process."""

import logging
from collections.abc import Generator, Sequence
from dataclasses import replace

from adapt.errors import Stopped
from adapt.events import Evaluation
from adapt.executors.contract import Candidate, Failure
from adapt.executors.evaluate import evaluate_candidate
from adapt.executors.task import ATTEMPTS, TrainingTask
from adapt.graph.network import Network
from adapt.graph.pruning import Kept
from adapt.latency.machine_lock import MachineLock
from adapt.stop import Stop
from adapt.training.supervision import Diverged, supervised

log = logging.getLogger(__name__)


class SerialExecutor:
    """`adapt.executors.contract.Executor` without processes."""

    def __init__(self, task: TrainingTask) -> None:
        self._task = task
        self._lock = None if task.lock_directory is None else MachineLock(task.lock_directory)

    def evaluate(
        self, network: Network, before: Kept, candidates: Sequence[Candidate], stop: Stop
    ) -> Generator[Evaluation | Failure, None, None]:
        """Results in the order of `candidates`. Raises Stopped."""
        for candidate in candidates:
            yield self._evaluate(network, before, candidate, stop)

    def close(self) -> None:
        """Nothing to end."""

    def _evaluate(self, network: Network, before: Kept, candidate: Candidate, stop: Stop) -> Evaluation | Failure:
        why = ""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with supervised(self._lock, stop) as pulse:
                    result = evaluate_candidate(self._task, network, before, candidate, pulse)
                return replace(result, attempts=attempt)
            except Stopped:
                raise
            except Diverged as diverged:  # would diverge again
                return Failure(group=candidate.group, attempts=attempt, reason=str(diverged))
            except Exception as error:  # a later attempt may find memory; the last one's reason is told
                log.exception("candidate %s, attempt %d", candidate.group or "control", attempt)
                why = f"{type(error).__name__}: {error}"
        return Failure(group=candidate.group, attempts=ATTEMPTS, reason=why)
