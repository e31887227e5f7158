"""The contract of `adapt.executors.contract`, to be inherited by the tests of each implementation."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapt.errors import Stopped
from adapt.events import Evaluation
from adapt.executors.contract import Candidate, Executor, Failure
from adapt.executors.serial import SerialExecutor
from adapt.executors.task import TrainingTask
from adapt.latency.machine_lock import MachineLock
from adapt.stop import never
from tests.small_task import control, proposals, small_network, small_task, whole

Make = Callable[[TrainingTask], Executor]
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


def expected_results() -> dict[str | None, object]:
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

    def test_one_whose_tensors_are_gone_or_whose_batches_shrink_is_begun_anew(self, make: Make) -> None:
        executor, one = make(small_task()), proposals()[0]
        (stopped,) = results(executor, [replace(one, until=2)]).values()
        assert isinstance(stopped, Evaluation)
        of_the_record = replace(one, begun=replace(stopped, weights=None, memory=None))
        in_halves = replace(one, begun=stopped, parts=2)
        for going_on, anew in ((of_the_record, one), (in_halves, replace(one, parts=2))):
            (found,), (expected,) = results(executor, [going_on]).values(), results(executor, [anew]).values()
            assert facts(found) == facts(expected)

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
