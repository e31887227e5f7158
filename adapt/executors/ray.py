"""Candidates as tasks of a Ray cluster: on this machine, or on as many as the cluster has."""

import importlib.util
import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from adapt.errors import ClusterAway, ExtraAbsent, Stopped
from adapt.events import Evaluation
from adapt.executors.attempts import Attempt, Attempts
from adapt.executors.contract import Candidate, Failure
from adapt.executors.handover import Handover, read_result
from adapt.executors.messages import Done, Ended, Order
from adapt.executors.patience import Patience
from adapt.executors.ray_process import DriverGone, RayDriver, start_driver
from adapt.executors.task import ATTEMPTS, TrainingTask
from adapt.graph.network import Network
from adapt.graph.pruning import Kept
from adapt.stop import Stop

LOOK_S = 0.1  # how often `stop` is asked while nothing is heard
RETRY_S = 2.0
START_S = 300.0  # a cluster that is started here takes ten seconds, on a busy machine minutes
REACH_S = 30.0  # one that is there is reached in seconds
EXTRA = "ray"
log = logging.getLogger(__name__)


def to_the_log(text: str) -> None:
    log.warning(text)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """`address` is host:port of a running cluster's head, or "auto" for the one that this machine is a node of; ""
    starts one on this machine for the time of the job. `patience_s`: how long one that is away is waited for.
    `tell` is told when it goes and when it is back."""

    address: str = ""
    patience_s: float = 300.0
    tell: Callable[[str], None] = to_the_log

    @property
    def name(self) -> str:
        return f"the Ray cluster at {self.address}" if self.address else "the Ray cluster of this machine"


def require_ray() -> None:
    """Raises ExtraAbsent; imports nothing."""
    if importlib.util.find_spec("ray") is None:
        raise ExtraAbsent("executor: ray", EXTRA)


class RayExecutor:
    """`adapt.executors.contract.Executor` over a Ray cluster, connected to when first needed.

    As many candidates train at once as the cluster has processors free. A candidate whose process or node is lost is
    tried again, three times in all. When the cluster itself goes away, what was in flight is given to it anew
    once it is back, which is no fault of a candidate; ClusterAway is raised when it stays away for `patience_s`, or was
    lost three times before one candidate ended.
    """

    def __init__(
        self,
        task: TrainingTask,
        *,
        cluster: Cluster | None = None,
        processors: int = 2,
        patience: Patience | None = None,
    ) -> None:
        """`processors` are those of a cluster that is started here. Raises ExtraAbsent."""
        require_ray()
        self._cluster = Cluster() if cluster is None else cluster
        self._processors = processors
        self._batch = min(task.settings.batch_size, len(task.data.train))
        self.patience = Patience(silent_s=30.0) if patience is None else patience
        self._driver: RayDriver | None = None
        self._losses = 0
        self._handover = Handover(task)

    def evaluate(
        self, network: Network, before: Kept, candidates: Sequence[Candidate], stop: Stop
    ) -> Generator[Evaluation | Failure, None, None]:
        """Results in the order in which they end. Raises Stopped, and then nothing trains any more; ClusterAway."""
        attempts = Attempts(candidates, self._batch)
        running: dict[Path, tuple[Attempt, Order]] = {}  # by where the result will be
        with self._handover.iteration(network, before, candidates) as iteration:
            try:
                while attempts.waiting or running:
                    if stop():
                        raise Stopped("stopped while candidates were evaluated")
                    driver = self._connected(stop)
                    with self._noticing_a_loss(attempts, running):
                        _hand_out(driver, iteration, attempts, running)
                        for ended in driver.listen(LOOK_S):
                            self._losses = 0
                            yield from _result(ended, attempts, running)
            finally:  # also when nobody asks for the other results: nothing keeps running
                if running:
                    self._cancel()

    def close(self) -> None:
        """Leaves the cluster, and ends one that was started here; safe to call twice."""
        if self._driver is not None:
            self._driver.kill()
            self._driver = None
        self._handover.remove()

    @contextmanager
    def _noticing_a_loss(self, attempts: Attempts, running: dict[Path, tuple[Attempt, Order]]) -> Iterator[None]:
        """What was in flight waits again. Raises ClusterAway when this goes on and on."""
        try:
            yield
        except DriverGone as gone:
            self._driver = None
            for attempt, _order in reversed(running.values()):
                attempts.put_back(attempt)
            in_flight = len(running)
            running.clear()
            self._losses += 1
            if self._losses >= ATTEMPTS:
                why = f"it was lost {ATTEMPTS} times before a single candidate was evaluated; the last time: {gone}"
                raise ClusterAway(self._cluster.name, why) from gone
            self._cluster.tell(f"{self._cluster.name} went away ({gone}); {in_flight} candidates are to be begun anew")

    def _connected(self, stop: Stop) -> RayDriver:
        """Raises ClusterAway, Stopped."""
        since, told = time.monotonic(), False
        while self._driver is None:
            driver = start_driver(self._handover.folder, self._cluster.address, self._processors, self.patience)
            try:
                driver.wait_for_cluster(self._connects_within(since), stop, LOOK_S)
                self._driver = driver
            except DriverGone as gone:
                if not told:
                    told = True
                    self._cluster.tell(f"waiting for {self._cluster.name}: {gone}")
                if time.monotonic() - since >= self._cluster.patience_s:
                    why = f"it was waited for {self._cluster.patience_s:g} s: {gone}"
                    raise ClusterAway(self._cluster.name, why) from gone
                _pause(stop)
            except BaseException:
                driver.kill()
                raise
        if told:
            self._cluster.tell(f"{self._cluster.name} is there again")
        return self._driver

    def _connects_within(self, since: float) -> float:
        """Seconds that an attempt may take: no longer than there is patience for, but as long as it needs."""
        left = since + self._cluster.patience_s - time.monotonic()
        return max(REACH_S, left) if self._cluster.address else START_S

    def _cancel(self) -> None:
        """A driver that does not do it in time is ended, and Ray then ends what it had begun."""
        if self._driver is not None and not self._driver.cancel():
            self._driver.kill()
            self._driver = None


def _hand_out(
    driver: RayDriver, iteration: Path, attempts: Attempts, running: dict[Path, tuple[Attempt, Order]]
) -> None:
    """All at once: which waits for which processor is Ray's affair."""
    while attempts.waiting:
        attempt = attempts.take()
        order = attempt.order(iteration)
        running[order.result] = attempt, order
        driver.give(order)


def _result(
    ended: Ended, attempts: Attempts, running: dict[Path, tuple[Attempt, Order]]
) -> Iterator[Evaluation | Failure]:
    """Nothing where it is tried again."""
    attempt, order = running.pop(ended.result)
    if isinstance(ended.outcome, Done):
        yield replace(read_result(order, ended.outcome), attempts=attempt.number)
    elif (failure := attempts.failed(attempt, ended.outcome)) is not None:
        yield failure


def _pause(stop: Stop) -> None:
    """Raises Stopped."""
    until = time.monotonic() + RETRY_S
    while time.monotonic() < until:
        if stop():
            raise Stopped("stopped while the Ray cluster was waited for")
        time.sleep(LOOK_S)
