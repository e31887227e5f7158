"""The contract of `adapt.executors.contract`, against each implementation; and what only processes promise."""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapt.errors import Stopped
from adapt.events import Evaluation
from adapt.executors import child_process
from adapt.executors.child_process import Patience
from adapt.executors.contract import Candidate, Executor, Failure
from adapt.executors.processes import ProcessExecutor
from adapt.executors.serial import SerialExecutor
from adapt.executors.task import TrainingTask
from adapt.latency.machine_lock import MachineLock
from adapt.stop import never
from tests.small_task import control, proposals, small_network, small_task, whole

Make = Callable[[TrainingTask], Executor]
ROOT = Path(__file__).parents[2]
ENDLESS = 10**9  # steps


def results(
    executor: Executor, candidates: Sequence[Candidate], stop: Callable[[], bool] = never
) -> dict[str | None, Evaluation | Failure]:
    return {found.group: found for found in executor.evaluate(small_network()[0], whole(), candidates, stop)}


def facts(result: Evaluation | Failure, *, attempts: bool = True) -> object:
    """All that must be equal, weights bit for bit; seconds are the clock's."""
    assert isinstance(result, Evaluation), result
    assert result.weights is not None
    weights = [(name, tensor.dtype, tensor.shape, tensor.tobytes()) for name, tensor in result.weights.items()]
    return replace(result, weights=None, seconds=0.0, attempts=result.attempts if attempts else 1), weights


@pytest.fixture(scope="module")
def expected() -> dict[str | None, object]:
    found = results(SerialExecutor(small_task()), [control(), *proposals()])
    return {group: facts(result) for group, result in found.items()}


@contextmanager
def measuring_elsewhere(lock_directory: Path) -> Iterator[None]:
    """Another thread holds the machine's lock."""
    begun, over = threading.Event(), threading.Event()

    def measure() -> None:
        with MachineLock(lock_directory).measuring():
            begun.set()
            over.wait()

    thread = threading.Thread(target=measure)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


class ExecutorContract:
    @pytest.fixture
    def make(self) -> Iterator[Make]:
        """Executors that are closed at the end."""
        made: list[Executor] = []

        def make(task: TrainingTask) -> Executor:
            made.append(self.executor(task))
            return made[-1]

        yield make
        for executor in made:
            executor.close()

    def executor(self, task: TrainingTask) -> Executor:
        raise NotImplementedError

    def test_a_teacher_reaches_every_candidate_whole(self, make: Make) -> None:
        task = small_task(teacher=small_network()[0], distill=True)
        found = results(make(task), [control(), *proposals()[:1]])
        same = results(SerialExecutor(task), [control(), *proposals()[:1]])
        alone = results(SerialExecutor(small_task()), [control()])
        assert {group: facts(result) for group, result in found.items()} == {
            group: facts(result) for group, result in same.items()
        }
        assert facts(found[None]) != facts(alone[None])

    def test_order_and_company_do_not_change_a_result(self, make: Make, expected: dict[str | None, object]) -> None:
        executor = make(small_task())
        found = results(executor, [*proposals()[::-1], control()])
        assert {group: facts(result) for group, result in found.items()} == expected
        alone = results(executor, [proposals()[0]])
        assert facts(alone[proposals()[0].group]) == expected[proposals()[0].group]

    def test_another_seed_gives_other_weights(self, make: Make, expected: dict[str | None, object]) -> None:
        assert facts(results(make(small_task()), [control(seed=1)])[None]) != expected[None]

    @pytest.mark.parametrize(
        "changed", [{}, {"batch_norm_batches": 0, "augment": True}], ids=["", "stale and augmented"]
    )
    def test_one_that_stops_on_its_way_ends_with_the_bits_of_one_that_never_did(
        self, make: Make, changed: dict[str, object]
    ) -> None:
        executor = make(small_task(**changed))
        straight = results(executor, proposals())
        begun: dict[str | None, Evaluation] = {}
        for until in (1, 3, None):
            legs = [replace(each, until=until, begun=begun.get(each.group)) for each in proposals()]
            for group, found in results(executor, legs).items():
                assert isinstance(found, Evaluation), found
                assert found.steps == (until or 4)
                assert (found.memory is None) == (until is None)
                begun[group] = found
        assert {group: facts(each) for group, each in begun.items()} == {
            group: facts(each) for group, each in straight.items()
        }

    def test_the_answers_image_by_image_are_those_of_the_accuracy(self, make: Make) -> None:
        found = results(make(small_task()), [control()])[None]
        assert isinstance(found, Evaluation)
        assert found.right is not None
        images = len(small_task().data.holdout)
        bits = np.unpackbits(np.frombuffer(found.right, np.uint8))
        assert bits[:images].mean() == pytest.approx(found.accuracy)
        assert not bits[images:].any()

    def test_a_result_is_the_cut_networks(self, make: Make) -> None:
        proposal = proposals()[0]
        found = results(make(small_task()), [proposal])[proposal.group]
        assert isinstance(found, Evaluation)
        assert found.weights is not None
        original = small_network()[0].weights
        assert list(found.weights) == list(original)
        assert sum(tensor.size for tensor in found.weights.values()) < sum(t.size for t in original.values())
        assert (found.steps, found.attempts) == (4, 1)
        assert 0 <= found.accuracy_before_finetune < 1

    def test_nothing_to_evaluate_is_nothing_to_do(self, make: Make) -> None:
        assert results(make(small_task()), []) == {}

    def test_stop_ends_an_endless_training(self, make: Make) -> None:
        calls = 0

        def stop() -> bool:
            nonlocal calls
            calls += 1
            return calls > 5

        with pytest.raises(Stopped):
            results(make(small_task(short_term_steps=ENDLESS)), proposals(), stop)

    def test_a_proposal_that_diverges_is_a_failure_in_words_and_the_control_scores_worst(self, make: Make) -> None:
        wild = [replace(candidate, learning_rate=1e30) for candidate in (control(), proposals()[0])]
        found = results(make(small_task()), wild)
        failure, worst = found[wild[1].group], found[None]
        assert isinstance(failure, Failure)
        assert "stopped being a finite number in step" in failure.reason
        assert failure.attempts == 1
        assert isinstance(worst, Evaluation)
        assert (worst.accuracy, worst.loss) == (0.0, 1e4)

    def test_a_candidate_that_cannot_be_cut_is_a_failure_after_three_attempts(self, make: Make) -> None:
        group = small_network()[1][0]
        nonsense = replace(control(), group=group.id, kept={**whole(), group.id: ()})
        found = results(make(small_task()), [nonsense, control()])
        failure = found[group.id]
        assert isinstance(failure, Failure)
        assert failure.attempts == 3
        assert failure.reason
        assert isinstance(found[None], Evaluation)

    def test_while_somebody_measures_nothing_trains(self, make: Make, tmp_path: Path) -> None:
        executor = make(small_task(lock_directory=tmp_path))
        asked = 0

        def stop() -> bool:
            nonlocal asked
            asked += 1
            return asked > 20

        with measuring_elsewhere(tmp_path), pytest.raises(Stopped):
            results(executor, [control()], stop)
        assert isinstance(results(executor, [control()])[None], Evaluation)

    def test_a_closed_executor_can_be_closed_again(self, make: Make) -> None:
        executor = make(small_task())
        executor.close()
        executor.close()


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


def wait_until_gone(pids: Sequence[int]) -> None:
    """Returns when they have ended; fails after 30 s."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            assert select.select([handle], [], [], 30)[0], f"process {pid} still runs"
        finally:
            os.close(handle)


def test_no_workers_are_refused() -> None:
    with pytest.raises(ValueError, match="workers: 0"):
        ProcessExecutor(small_task(), workers=0)
