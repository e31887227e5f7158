"""The contract of `adapt.executors.contract`, against each implementation; and what only processes promise."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapt.events import Evaluation
from adapt.executors import child_process
from adapt.executors.contract import Executor, Failure
from adapt.executors.patience import Patience
from adapt.executors.processes import ProcessExecutor
from adapt.executors.serial import SerialExecutor
from adapt.executors.task import TrainingTask
from adapt.stop import never
from tests.executor_contract import ExecutorContract, expected_results, facts, results
from tests.processes import wait_until_gone
from tests.small_task import control, proposals, small_network, small_task, whole

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def expected() -> dict[str | None, object]:
    return expected_results()


class TestSerial(ExecutorContract):
    def executor(self, task: TrainingTask) -> Executor:
        return SerialExecutor(task)


class TestProcesses(ExecutorContract):
    def executor(self, task: TrainingTask) -> Executor:
        return ProcessExecutor(task, workers=2)


@pytest.fixture
def processes() -> Iterator[Callable[..., ProcessExecutor]]:
    made: list[ProcessExecutor] = []

    def make(**changed: object) -> ProcessExecutor:
        made.append(ProcessExecutor(small_task(**changed), workers=1, patience=Patience(silent_s=4)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for executor in made:
        executor.close()


def signalling(executor: ProcessExecutor, number: signal.Signals, times: int) -> Callable[[], bool]:
    """A stop signal that never stops, but sends `number` to each of the first children that it meets."""
    sent: list[int] = []

    def stop() -> bool:
        for pid in executor.child_pids:
            if pid not in sent and len(sent) < times:
                os.kill(pid, number)
                sent.append(pid)
        return False

    return stop


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_child_that_is_killed_or_hangs_is_replaced_with_the_same_result(
    processes: Callable[..., ProcessExecutor], expected: dict[str | None, object], number: signal.Signals
) -> None:
    executor = processes()
    found = results(executor, [control(), *proposals()], signalling(executor, number, times=1))
    assert {group: facts(result, attempts=False) for group, result in found.items()} == expected
    assert sorted(result.attempts for result in found.values())[-2:] == [1, 2]


def test_a_child_that_the_kernel_kills_for_memory_is_replaced_and_trains_in_smaller_parts(
    processes: Callable[..., ProcessExecutor], monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, killed = processes(), iter(range(100))
    monkeypatch.setattr(child_process, "killed_for_memory", lambda: next(killed))
    found = results(executor, [control()], signalling(executor, signal.SIGKILL, times=4))[None]
    (same,) = SerialExecutor(small_task()).evaluate(small_network()[0], whole(), [replace(control(), parts=16)], never)
    assert isinstance(found, Evaluation)
    assert (found.parts, found.attempts) == (16, 5)
    assert facts(found, attempts=False) == facts(same, attempts=False)


def test_the_kernels_count_of_processes_killed_for_memory_is_read_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "VMSTAT", tmp_path / "vmstat")
    assert child_process.killed_for_memory() == 0
    (tmp_path / "vmstat").write_text("nr_free_pages 4711\noom_kill 3\n")
    assert child_process.killed_for_memory() == 3


def test_a_candidate_that_kills_its_process_every_time_is_given_up_and_the_next_goes_on(
    processes: Callable[..., ProcessExecutor],
) -> None:
    executor = processes()
    found = results(executor, [control()], signalling(executor, signal.SIGKILL, times=3))
    assert found[None] == Failure(
        group=None, attempts=3, reason="its process was killed by SIGKILL; perhaps it was out of memory"
    )
    assert isinstance(results(executor, [control()])[None], Evaluation)


def test_a_child_that_dies_between_iterations_costs_no_attempt(processes: Callable[..., ProcessExecutor]) -> None:
    executor = processes()
    results(executor, [control()])
    (pid,) = executor.child_pids
    os.kill(pid, signal.SIGKILL)
    wait_until_gone([pid])
    found = results(executor, [control()])[None]
    assert isinstance(found, Evaluation)
    assert found.attempts == 1


def test_whoever_asks_for_no_more_results_leaves_nothing_running(processes: Callable[..., ProcessExecutor]) -> None:
    executor = processes()
    running = executor.evaluate(small_network()[0], whole(), [control(), *proposals()], never)
    next(running)
    running.close()  # type: ignore[attr-defined]
    busy = executor.child_pids
    executor.close()
    assert executor.child_pids == []
    wait_until_gone(busy)


def test_close_leaves_no_child_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    executor = ProcessExecutor(small_task(), workers=2)
    results(executor, proposals())
    pids = executor.child_pids
    assert len(pids) == 2
    executor.close()
    wait_until_gone(pids)
    assert list(tmp_path.iterdir()) == []


PARENT = """
import os
from adapt.executors.processes import ProcessExecutor
from tests.small_task import proposals, small_network, small_task, whole
executor = ProcessExecutor(small_task(short_term_steps=10**9), workers=2)
def stop():
    pids = executor.child_pids
    if len(pids) == 2 and all(len(os.listdir(f"/proc/{pid}/task")) > 2 for pid in pids):  # they read and beat
        print(*pids, flush=True)
    return False
list(executor.evaluate(small_network()[0], whole(), proposals(), stop))
"""


@pytest.mark.parametrize("halted", [False, True])
def test_children_end_by_themselves_and_clean_up_when_their_parent_is_killed(tmp_path: Path, halted: bool) -> None:
    """Also one that is halted: the kernel wakes it. It may hold the machine's lock."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert list(tmp_path.glob("netadapt-executor-*"))
        if halted:
            os.kill(pids[0], signal.SIGSTOP)
        parent.kill()
    wait_until_gone(pids)
    assert list(tmp_path.glob("netadapt-executor-*")) == []


def test_no_workers_are_refused() -> None:
    with pytest.raises(ValueError, match="workers: 0"):
        ProcessExecutor(small_task(), workers=0)
