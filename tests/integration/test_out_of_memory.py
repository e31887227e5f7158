"""A proposal that runs out of memory is tried again in smaller parts, with the same step but for batch norms."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from adapt.errors import OutOfMemory
from adapt.events import EpochDone, Evaluation
from adapt.executors import evaluate
from adapt.executors.serial import SerialExecutor
from adapt.graph.network import Weights
from adapt.modules import GraphModule
from adapt.stop import never
from adapt.training.long_term import long_term_finetune
from adapt.training.losses import cross_entropy
from adapt.training.out_of_memory import in_parts
from adapt.training.sgd import Recipe, Sgd, trainable_module
from adapt.training.trainer import NetworkTrainer
from tests.small_task import (
    SETTINGS,
    as_network,
    control,
    proposals,
    small_data,
    small_network,
    small_task,
    whole,
    without_batch_norm,
)

RECIPE = {"batch_size": 64, "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 1e-4}
OUT_OF_MEMORY = (
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
)


def weights_after_a_step(parts: int) -> dict[str, Tensor]:
    module = trainable_module(as_network(without_batch_norm()))
    sgd = Sgd(module, small_data().normalization, Recipe(**RECIPE, parts=parts))
    sgd.step(small_data().train, np.arange(64), 1.0, 1, 0)
    return dict(module.named_parameters())


def test_a_step_in_parts_is_the_same_step() -> None:
    torch.manual_seed(0)
    whole_batch = weights_after_a_step(1)
    torch.manual_seed(0)
    in_four = weights_after_a_step(4)
    for name, tensor in whole_batch.items():
        torch.testing.assert_close(in_four[name], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_batches_are_halved_until_they_fit(error: Exception) -> None:
    tried = []

    def train(parts: int) -> str:
        tried.append(parts)
        if parts < 8:
            raise error
        return "done"

    assert in_parts(train, batch=64) == ("done", 8)
    assert tried == [1, 2, 4, 8]


def test_where_not_even_two_images_fit_it_says_so() -> None:
    def train(parts: int) -> None:
        raise MemoryError

    with pytest.raises(OutOfMemory, match="out of memory, even with 2 images at once"):
        in_parts(train, batch=64)


def test_another_error_is_not_taken_for_it() -> None:
    def train(parts: int) -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        in_parts(train, batch=64)


@pytest.fixture(name="narrow")
def _narrow(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Memory for so many images at once in any pass of a network, and no more."""

    def most(images: int) -> None:
        forward = GraphModule.forward

        def fits(self: GraphModule, pixels: Tensor) -> Tensor:
            if len(pixels) > images:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
            return forward(self, pixels)

        monkeypatch.setattr(GraphModule, "forward", fits)

    return most


def test_statistics_are_taken_in_parts_and_scores_too(narrow: Callable[[int], None]) -> None:
    narrow(20)
    (found,) = SerialExecutor(small_task()).evaluate(small_network()[0], whole(), [control()], never)
    assert isinstance(found, Evaluation), found.reason
    assert found.parts == 4


def test_what_is_to_be_computed_in_parts_takes_no_more_at_once_in_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a kill for memory, which raises nothing that could be answered by smaller parts."""
    forward, at_once = GraphModule.forward, []

    def noting(self: GraphModule, pixels: Tensor) -> Tensor:
        at_once.append(len(pixels))
        return forward(self, pixels)

    monkeypatch.setattr(GraphModule, "forward", noting)
    given = replace(control(), parts=8)
    (found,) = SerialExecutor(small_task()).evaluate(small_network()[0], whole(), [given], never)
    assert isinstance(found, Evaluation), found.reason
    assert max(at_once) <= 128 // 8


def test_epochs_take_statistics_and_scores_in_parts_too(narrow: Callable[[int], None]) -> None:
    narrow(20)
    settings = replace(SETTINGS, long_term_epochs=1)
    (done,) = long_term_finetune(small_network()[0], small_data(), settings, state=None, lock=None, stop=never)
    assert done.parts == 4


def test_what_training_images_say_and_a_score_are_the_same_in_parts(narrow: Callable[[int], None]) -> None:
    network, data = small_network()[0], small_data()
    trainer = NetworkTrainer(data, data.holdout, SETTINGS, None)
    score, evidence = trainer.test(network), trainer.evidence(network, seed=1)
    activations, saliences = evidence.activations(), evidence.saliences()
    narrow(17)
    again = trainer.evidence(network, seed=1)
    assert trainer.test(network).loss == pytest.approx(score.loss)
    for tensor, figures in activations.items():
        np.testing.assert_allclose(again.activations()[tensor], figures, rtol=1e-4)
    for one, other in zip(again.saliences(), saliences, strict=True):
        for tensor, figures in other.items():
            np.testing.assert_allclose(one[tensor], figures, rtol=1e-3, atol=1e-6)


def fitting(images: int, module: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """The cross-entropy where memory suffices for so many images at once."""

    def of(pixels: Tensor, labels: Tensor) -> Tensor:
        if len(pixels) > images:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return cross_entropy(module)(pixels, labels)

    return of


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Memory for so many images at once in a training step, and no more."""

    def most(images: int) -> None:
        def loss(module: Any, teacher: Any, settings: Any) -> Callable[[Tensor, Tensor], Tensor]:
            return fitting(images, module)

        monkeypatch.setattr(evaluate, "fine_tuning", loss)

    return most


def test_a_candidate_says_in_how_many_parts_it_was_trained_and_trains_so_again(scarce: Callable[[int], None]) -> None:
    network, _groups = small_network()
    executor = SerialExecutor(small_task())
    scarce(20)
    (found,) = executor.evaluate(network, whole(), proposals()[:1], never)
    assert isinstance(found, Evaluation)
    assert (found.parts, found.attempts) == (4, 1)
    scarce(64)

    (again,) = executor.evaluate(network, whole(), [replace(proposals()[0], parts=4)], never)
    assert isinstance(again, Evaluation)
    assert again.weights is not None
    assert found.weights is not None
    assert all(np.array_equal(again.weights[name], tensor) for name, tensor in found.weights.items())


def test_a_candidate_that_never_fits_is_a_failure_in_words(scarce: Callable[[int], None]) -> None:
    scarce(1)
    (failure,) = SerialExecutor(small_task()).evaluate(small_network()[0], whole(), [control()], never)
    assert not isinstance(failure, Evaluation)
    assert "out of memory, even with 2 images at once" in failure.reason


def epochs(images: int, state: Weights | None = None) -> list[EpochDone]:
    """Of the long-term fine-tune, with memory for so many images at once."""

    def loss_of(module: GraphModule) -> Callable[[Tensor, Tensor], Tensor]:
        return fitting(images, module)

    settings = replace(SETTINGS, long_term_epochs=2)
    network = small_network()[0]
    done = long_term_finetune(network, small_data(), settings, state=state, lock=None, stop=never, loss_of=loss_of)
    return list(done)


def test_epochs_that_run_out_of_memory_are_begun_again_in_smaller_parts_and_go_on_so_after_a_cut() -> None:
    first, second = epochs(20)
    assert (first.parts, second.parts) == (4, 4)
    (resumed,) = epochs(20, first.state)
    assert resumed.parts == 4
    assert all(np.array_equal(resumed.state[name], tensor) for name, tensor in second.state.items())
    (with_room,) = epochs(1000, first.state)
    assert all(np.array_equal(with_room.state[name], tensor) for name, tensor in second.state.items())


def test_epochs_that_never_fit_end_in_words() -> None:
    with pytest.raises(OutOfMemory, match="out of memory, even with 2 images at once"):
        epochs(1)
