"""The Ray executor: the contract on a cluster of two nodes, and what happens when parts of it, or all, go away.

No test waits for a time to pass: each waits for what it names, however long a busy machine takes for it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from adapt.errors import ClusterAway, ExtraAbsent
from adapt.events import Evaluation
from adapt.executors.contract import Executor, Failure
from adapt.executors.ray import Cluster, RayExecutor
from adapt.executors.task import TrainingTask
from tests.executor_contract import ExecutorContract, Make, expected_results, facts, measuring_elsewhere, results
from tests.processes import descendants, wait_until_gone
from tests.ray_cluster import TRAINS, RayNodes, ray_nodes
from tests.small_task import control, proposals, small_task

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(1200)  # a driver and the processes that train for it start in 10 s of processor time


@pytest.fixture(scope="module")
def expected() -> dict[str | None, object]:
    return expected_results()


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    with ray_nodes() as nodes:
        yield nodes


@pytest.fixture(scope="module")
def executor(nodes: RayNodes) -> Iterator[RayExecutor]:
    """Of `small_task()`: several tests share it, since each of its own would wait for processes that load torch."""
    executor = RayExecutor(small_task(), cluster=Cluster(address=nodes.address))
    yield executor
    executor.close()


class TestRay(ExecutorContract):
    @pytest.fixture
    def make(self, nodes: RayNodes, executor: RayExecutor) -> Iterator[Make]:
        made: list[Executor] = []

        def make(task: TrainingTask) -> Executor:
            if (task.settings, task.teacher, task.lock_directory) == (small_task().settings, None, None):
                return executor
            made.append(RayExecutor(task, cluster=Cluster(address=nodes.address)))
            return made[-1]

        yield make
        for each in made:
            each.close()

    def test_ray_is_not_imported_here(self, make: Make) -> None:
        results(make(small_task()), [control()])
        assert "ray" not in sys.modules

    def test_a_closed_executor_can_be_closed_again(self) -> None:
        executor = RayExecutor(small_task())  # a cluster of its own, which nothing has started yet
        executor.close()
        executor.close()


@pytest.fixture(scope="module")
def lock_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lock")


@pytest.fixture(scope="module")
def told() -> list[str]:
    """Of the cluster, by `lasting`."""
    return []


@pytest.fixture(scope="module")
def lasting(nodes: RayNodes, lock_directory: Path, told: list[str]) -> Iterator[RayExecutor]:
    """One whose candidates are not through before the lock is let go of."""
    cluster = Cluster(address=nodes.address, patience_s=0, tell=told.append)
    executor = RayExecutor(small_task(lock_directory=lock_directory), cluster=cluster)
    yield executor
    executor.close()


def disturbed(
    executor: RayExecutor, lock_directory: Path, pids: Callable[[], list[int]], disturb: Callable[[int], None]
) -> dict[str | None, Evaluation | Failure]:
    """The results where `disturb` is called with one of `pids` as soon as there is one, before anything is trained."""
    with ExitStack() as measuring:
        measuring.enter_context(measuring_elsewhere(lock_directory))
        hit: list[int] = []

        def stop() -> bool:
            if not hit and (found := pids()):
                hit.append(found[0])
                disturb(found[0])
                measuring.close()
            return False

        return results(executor, [control(), *proposals()], stop)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_of_ray_that_is_killed_or_halted_is_replaced_with_the_same_result(
    lasting: RayExecutor,
    lock_directory: Path,
    nodes: RayNodes,
    expected: dict[str | None, object],
    number: signal.Signals,
) -> None:
    hit: list[int] = []

    def disturb(pid: int) -> None:
        os.kill(pid, number)
        hit.append(pid)

    found = disturbed(lasting, lock_directory, nodes.training_pids, disturb)
    assert {group: facts(result, attempts=False) for group, result in found.items()} == expected
    assert max(result.attempts for result in found.values()) >= 2
    wait_until_gone(hit)


def test_candidates_of_a_node_that_is_lost_are_tried_again_on_another(
    lasting: RayExecutor, lock_directory: Path, nodes: RayNodes, expected: dict[str | None, object]
) -> None:
    found = disturbed(lasting, lock_directory, nodes.second.training_pids, lambda _pid: nodes.second.kill())
    assert {group: facts(result, attempts=False) for group, result in found.items()} == expected
    assert max(result.attempts for result in found.values()) >= 2


def test_a_cluster_that_goes_away_for_good_is_named_after_it_was_waited_for(
    lasting: RayExecutor, lock_directory: Path, nodes: RayNodes, told: list[str]
) -> None:
    with pytest.raises(ClusterAway, match="extend the job") as raised:
        disturbed(lasting, lock_directory, nodes.head.training_pids, lambda _pid: nodes.head.kill())
    assert nodes.address in str(raised.value)
    went, waited = told  # so it was there for all that came before
    assert went.startswith(f"the Ray cluster at {nodes.address} went away")
    assert waited.startswith(f"waiting for the Ray cluster at {nodes.address}")


def test_a_cluster_of_this_machine_that_dies_is_started_again_and_ends_with_the_executor(
    expected: dict[str | None, object], lock_directory: Path
) -> None:
    told: list[str] = []
    task = small_task(lock_directory=lock_directory)
    executor = RayExecutor(task, cluster=Cluster(tell=told.append), processors=2)

    def titled(title: str) -> list[int]:
        return [pid for pid, found in descendants(os.getpid()) if found.partition(" ")[0].endswith(title)]

    try:
        found = disturbed(
            executor,
            lock_directory,
            lambda: titled(TRAINS),
            lambda _pid: os.kill(titled("gcs_server")[0], signal.SIGKILL),
        )
        assert {group: facts(result) for group, result in found.items()} == expected
        assert sum("this machine went away" in text for text in told) == 1
        pids = titled("gcs_server") + titled("raylet")
    finally:
        executor.close()
    assert len(pids) == 2
    wait_until_gone(pids)


PARENT = """
import os, re
from adapt.executors.ray import RayExecutor
from tests.processes import descendants
from tests.ray_cluster import TRAINS
from tests.small_task import proposals, small_network, small_task, whole
executor = RayExecutor(small_task(short_term_steps=10**9), processors=1)
def stop():
    if any(title.startswith(TRAINS) for _, title in descendants(os.getpid())):
        found = descendants(os.getpid())
        print(*(pid for pid, _ in found))
        print(re.search("/tmp/netadapt-ray-[^/ ]+", str(found))[0], flush=True)
    return False
list(executor.evaluate(small_network()[0], whole(), proposals(), stop))
"""


def test_nothing_of_ray_outlives_a_worker_that_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        folders = [*tmp_path.glob("netadapt-executor-*"), Path(parent.stdout.readline().strip())]
        assert (len(pids) > 3, [folder.exists() for folder in folders]) == (True, [True, True])
        parent.kill()
    wait_until_gone(pids)
    while any(folder.exists() for folder in folders):  # whoever removes them is none of these
        time.sleep(0.1)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        ExtraAbsent, match=r"executor: ray needs the extra ray, .* pip install 'netadapt-service\[ray\]'"
    ):
        RayExecutor(small_task())
