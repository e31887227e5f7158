"""Fine-tuning and scoring on a tiny network and the digits."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from adapt.data.dataset import Part, whole_part
from adapt.data.digits import digits
from adapt.errors import Stopped
from adapt.events import WORST_LOSS, EpochDone
from adapt.graph.network import Network
from adapt.latency.machine_lock import MachineLock
from adapt.modules import read_weights
from adapt.spec import Normalization, Settings, default_normalization
from adapt.stop import never
from adapt.training.long_term import finetuned, long_term_finetune
from adapt.training.losses import distilled, fine_tuning
from adapt.training.scoring import evaluate, reestimate_batch_norm, to_tensors
from adapt.training.sgd import CLIP_NORM, Recipe, Sgd, cosine_to_zero, trainable_module, warm_up
from adapt.training.short_term import short_term_finetune
from adapt.training.supervision import Diverged, reproducible, supervised
from adapt.training.trainer import NetworkTrainer
from tests.small_task import SETTINGS, as_network, small_data, small_network, without_batch_norm

RECIPE = Recipe(batch_size=64, learning_rate=0.05, momentum=0.9, weight_decay=1e-4)
GREY = default_normalization(1)


def no_pulse() -> None:
    pass


@contextmanager
def intra_op_threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def epochs(
    settings: Settings = SETTINGS, state: dict[str, np.ndarray] | None = None, network: Network | None = None
) -> list[EpochDone]:
    network = network or small_network()[0]
    return list(long_term_finetune(network, small_data(), settings, state=state, lock=None, stop=never))


def test_pixels_are_normalised_per_channel_in_channels_last() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 2)).astype(np.uint8)
    found, _ = to_tensors(images, np.zeros(3, np.int64), Normalization(mean=(0.1, 0.2), std=(0.3, 0.4)))
    expected = (images / 255 - np.array([0.1, 0.2])) / np.array([0.3, 0.4])
    assert np.allclose(found.numpy().transpose(0, 2, 3, 1), expected, atol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_a_score_is_the_accuracy_and_the_mean_cross_entropy() -> None:
    module, part = trainable_module(small_network()[0]).eval(), small_data().holdout
    images, labels = to_tensors(*part.take(np.arange(len(part))), GREY)
    with torch.no_grad():
        scores = module(images)
    found = evaluate(module, part, GREY, no_pulse)
    assert found.accuracy == pytest.approx(float((scores.argmax(1) == labels).float().mean()))
    assert found.loss == pytest.approx(float(F.cross_entropy(scores, labels)), rel=1e-5)
    assert found.images == len(part)


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_scores_that_are_no_numbers_count_as_wrong_and_the_figures_stay_finite(broken: float) -> None:
    module = trainable_module(small_network()[0])
    with torch.no_grad():
        module.get_parameter("6.bias")[0] = broken
    found = evaluate(module, small_data().holdout, GREY, no_pulse)
    assert (found.accuracy, found.loss <= WORST_LOSS) == (0.0, True)


def test_re_estimated_statistics_are_the_average_over_training_batches_and_nothing_else_changes() -> None:
    data = small_data()
    few = data.train.subset(np.arange(64))
    module = trainable_module(small_network()[0])
    before = read_weights(module)
    reestimate_batch_norm(module, few, GREY, most_batches=8, batch_size=64, seed=0, pulse=no_pulse)
    after = read_weights(module)
    images, _ = to_tensors(*few.take(np.arange(64)), GREY)
    with torch.no_grad():
        activations = module.get_submodule("0.0")(images)
    assert np.allclose(after["0.1.running_mean"], activations.mean((0, 2, 3)), atol=1e-5)
    assert np.allclose(after["0.1.running_var"], activations.var((0, 2, 3)), rtol=1e-3)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed
    assert all("running_" in name or "num_batches" in name for name in changed)
    assert not module.training
    assert module.get_submodule("0.1").momentum == 0.1


def test_statistics_are_taken_from_as_many_batches_as_are_set_and_from_none_where_that_is_zero() -> None:
    def estimated(most: int) -> tuple[bytes, int]:
        module, data, asked = trainable_module(small_network()[0]), small_data(), 0

        def pulse() -> None:
            nonlocal asked
            asked += 1

        reestimate_batch_norm(module, data.train, GREY, most_batches=most, batch_size=64, seed=0, pulse=pulse)
        assert not module.training
        return b"".join(tensor.tobytes() for tensor in read_weights(module).values()), asked

    untouched = b"".join(tensor.tobytes() for tensor in read_weights(trainable_module(small_network()[0])).values())
    assert estimated(0) == (untouched, 0)
    assert [estimated(most)[1] for most in (1, 3, 1000)] == [1, 3, len(small_data().train) // 64]
    assert estimated(3) == estimated(3)
    assert estimated(1)[0] != estimated(3)[0]


def test_short_term_fine_tuning_teaches_and_asks_before_every_step() -> None:
    data, module, asked = small_data(), trainable_module(small_network()[0]), 0

    def pulse() -> None:
        nonlocal asked
        asked += 1

    short_term_finetune(module, data, RECIPE, steps=60, seed=1, pulse=pulse)
    assert asked == 60
    reestimate_batch_norm(module, data.train, GREY, most_batches=8, batch_size=64, seed=0, pulse=no_pulse)
    assert evaluate(module, data.holdout, GREY, no_pulse).accuracy > 0.3  # chance is 0.1


def test_training_depends_on_its_seed_and_not_on_torchs_own_generator_or_threads() -> None:
    def trained(seed: int, noise: int) -> bytes:
        torch.manual_seed(noise)
        module = trainable_module(small_network()[0])
        with intra_op_threads(1 + noise), reproducible():
            short_term_finetune(module, small_data(), RECIPE, steps=3, seed=seed, pulse=no_pulse)
        return b"".join(tensor.tobytes() for tensor in read_weights(module).values())

    assert trained(1, 0) == trained(1, 1)
    assert trained(1, 0) != trained(2, 0)


def test_training_leaves_torchs_own_generator_and_settings_alone() -> None:
    module = trainable_module(small_network()[0])
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    with intra_op_threads(2):
        with supervised(None, never) as pulse:
            assert torch.get_num_threads() == 1
            short_term_finetune(module, small_data(), RECIPE, steps=1, seed=1, pulse=pulse)
        assert torch.get_num_threads() == 2
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.rand(1), expected)


def test_a_network_without_batch_norm_is_trained_gently() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = without_batch_norm()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    data = small_data()
    Sgd(module, GREY, replace(RECIPE, weight_decay=0.0)).step(data.train, np.arange(64), share=1.0, number=1, seed=0)
    moved = torch.cat([(b - p.detach()).flatten() for b, p in zip(before, module.parameters(), strict=True)])
    assert 0 < float(moved.norm()) <= 0.1 * RECIPE.learning_rate * CLIP_NORM * 1.001


def test_weights_of_a_norm_do_not_decay() -> None:
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))
    sgd = Sgd(module, GREY, replace(RECIPE, learning_rate=1.0, momentum=0.0, weight_decay=0.5))
    groups = {group["weight_decay"]: len(group["params"]) for group in sgd._optimizer.param_groups}
    assert groups == {0.5: 1, 0.0: 3}


def test_the_rate_warms_up_and_the_cosine_ends_at_zero() -> None:
    assert [warm_up(step, 20) for step in (0, 1, 2, 19)] == [pytest.approx(1 / 3), pytest.approx(2 / 3), 1, 1]
    assert warm_up(0, 1) == 1
    shares = [cosine_to_zero(step, 100) for step in range(100)]
    assert max(shares) > 0.95
    assert shares[-1] < 0.001


def test_long_term_fine_tuning_improves_and_says_so_after_each_epoch() -> None:
    found = epochs(replace(SETTINGS, long_term_epochs=4, long_term_learning_rate=0.1))
    assert [(done.epoch, done.epochs) for done in found] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert found[-1].holdout.loss < found[0].holdout.loss
    trainer = NetworkTrainer(small_data(), digits().test, SETTINGS, None)
    network = trainer.finetuned(small_network()[0], found[-1].state)
    assert list(network.weights) == list(small_network()[0].weights)
    scored = trainer.score_original(network)
    assert scored.holdout == found[-1].holdout
    assert scored.test.images == 359


@pytest.mark.parametrize("done", [1, 2])
def test_a_fine_tuning_that_was_killed_ends_as_one_that_was_not_byte_for_byte(done: int) -> None:
    undisturbed = epochs()
    resumed = epochs(state={name: np.array(tensor) for name, tensor in undisturbed[done - 1].state.items()})
    assert [epoch.epoch for epoch in resumed] == [1, 2, 3][done:]
    assert {name: tensor.tobytes() for name, tensor in resumed[-1].state.items()} == {
        name: tensor.tobytes() for name, tensor in undisturbed[-1].state.items()
    }
    assert resumed[-1].holdout == undisturbed[-1].holdout


def test_a_finished_fine_tuning_has_no_epoch_left() -> None:
    assert epochs(state=dict(epochs()[-1].state)) == []


def test_a_long_fine_tuning_that_diverges_ends_with_the_worst_score_and_stays_ended() -> None:
    found = epochs(replace(SETTINGS, long_term_learning_rate=1e30))
    assert len(found) == 1
    assert (found[0].holdout.accuracy, found[0].holdout.loss) == (0.0, WORST_LOSS)
    assert epochs(state=dict(found[0].state)) == []


def test_a_loss_that_is_none_before_the_first_step_is_not_the_learning_rates_fault() -> None:
    network = as_network(without_batch_norm())
    huge = Network(network.graph, {name: tensor * np.float32(1e30) for name, tensor in network.weights.items()})
    with pytest.raises(Diverged, match="before the first step: no learning_rate avoids that"):
        short_term_finetune(trainable_module(huge), small_data(), RECIPE, steps=5, seed=0, pulse=no_pulse)


def test_short_term_fine_tuning_that_diverges_names_the_step() -> None:
    with pytest.raises(Diverged, match="in step 2 at learning rate 1e"):
        short_term_finetune(
            trainable_module(small_network()[0]),
            small_data(),
            replace(RECIPE, learning_rate=1e30),
            steps=5,
            seed=0,
            pulse=no_pulse,
        )


def test_long_term_fine_tuning_stops_when_asked_and_lets_the_machine_go_between_epochs(tmp_path: Path) -> None:
    lock, stopped = MachineLock(tmp_path), False
    running = long_term_finetune(
        small_network()[0], small_data(), SETTINGS, state=None, lock=lock, stop=lambda: stopped
    )
    next(running)
    with MachineLock(tmp_path).measuring():
        stopped = True
    with pytest.raises(Stopped):
        next(running)
    with lock.measuring():
        pass


def test_a_network_without_batch_norm_goes_the_same_way() -> None:
    network = as_network(without_batch_norm())
    found = epochs(replace(SETTINGS, long_term_epochs=1), network=network)
    assert set(finetuned(network, found[0].state).weights) == set(network.weights)


def test_data_smaller_than_a_batch_train_all_the_same() -> None:
    data = small_data()
    few: Part = whole_part(data.train.images[:20], data.train.labels[:20])
    module = trainable_module(small_network()[0])
    short_term_finetune(module, replace(data, train=few), RECIPE, steps=2, seed=0, pulse=no_pulse)
    reestimate_batch_norm(module, few, GREY, most_batches=8, batch_size=64, seed=0, pulse=no_pulse)
    assert np.isfinite(evaluate(module, few, GREY, no_pulse).loss)


def test_distillation_is_hintons_and_teaches_nothing_to_the_teacher() -> None:
    student, teacher = trainable_module(small_network()[0]).eval(), trainable_module(small_network()[0]).eval()
    with torch.no_grad():
        teacher.get_parameter("6.bias").add_(torch.linspace(-2, 2, 10))
    images, labels = to_tensors(*small_data().train.take(np.arange(32)), GREY)
    with torch.no_grad():
        own, soft = student(images).double(), teacher(images).double()
    temperature, weight = 3.0, 0.7
    divergence = (
        (soft / temperature).softmax(1)
        * ((soft / temperature).log_softmax(1) - (own / temperature).log_softmax(1))
    ).sum(1).mean()  # fmt: skip
    expected = (1 - weight) * F.cross_entropy(own, labels) + weight * temperature**2 * divergence
    loss = distilled(student, teacher, temperature=temperature, weight=weight)(images, labels)
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-4)
    loss.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad is not None for parameter in student.parameters())


def test_without_weight_a_teacher_changes_nothing_and_with_some_the_network_comes_nearer_to_it() -> None:
    network, data = small_network()[0], small_data()
    images, _ = to_tensors(*data.holdout.take(np.arange(len(data.holdout))), GREY)
    sure = Network(network.graph, {**network.weights, "6.bias": np.linspace(-4, 4, 10).astype(np.float32)})
    with torch.no_grad():
        wanted = trainable_module(sure).eval()(images).softmax(1)

    def distance(weight: float | None) -> tuple[float, bytes]:
        module = trainable_module(network)
        settings = replace(SETTINGS, distill_weight=weight or 0.0, distill_temperature=1.0)
        loss = fine_tuning(module, None if weight is None else sure, settings)
        short_term_finetune(module, data, RECIPE, steps=20, seed=1, pulse=no_pulse, loss=loss)
        module.eval()
        with torch.no_grad():
            found = (module(images).softmax(1) - wanted).abs().sum()
        return float(found), b"".join(tensor.tobytes() for tensor in read_weights(module).values())

    assert distance(0.0) == distance(None)
    assert distance(1.0)[0] < 0.5 * distance(None)[0]


def test_a_taught_fine_tuning_that_was_killed_ends_as_one_that_was_not_byte_for_byte() -> None:
    network = small_network()[0]
    trainer = NetworkTrainer(small_data(), digits().test, SETTINGS, None, teacher=network)
    undisturbed = list(trainer.long_term_finetune(network, None, never))
    assert undisturbed[-1].holdout != epochs()[-1].holdout
    state = {name: np.array(tensor) for name, tensor in undisturbed[0].state.items()}
    resumed = list(trainer.long_term_finetune(network, state, never))
    assert {name: tensor.tobytes() for name, tensor in resumed[-1].state.items()} == {
        name: tensor.tobytes() for name, tensor in undisturbed[-1].state.items()
    }


def test_training_from_scratch_begins_with_new_weights_learns_and_can_be_killed() -> None:
    network = small_network()[0]
    settings = replace(SETTINGS, long_term_epochs=3, training_learning_rate=0.1)
    trainer = NetworkTrainer(small_data(), digits().test, settings, None)
    undisturbed = list(trainer.train_from_scratch(network, None, never))
    assert [(done.epoch, done.epochs) for done in undisturbed] == [(1, 3), (2, 3), (3, 3)]
    assert undisturbed[-1].holdout.accuracy > 0.3  # chance is 0.1
    state = {name: np.array(tensor) for name, tensor in undisturbed[0].state.items()}
    resumed = list(trainer.train_from_scratch(network, state, never))
    assert {name: tensor.tobytes() for name, tensor in resumed[-1].state.items()} == {
        name: tensor.tobytes() for name, tensor in undisturbed[-1].state.items()
    }
    other = Network(network.graph, {name: np.zeros_like(tensor) for name, tensor in network.weights.items()})
    again = list(trainer.train_from_scratch(other, None, never))
    assert again[-1].holdout == undisturbed[-1].holdout  # nothing of the found network's weights is left in it


def test_augmentation_changes_what_is_learnt_and_depends_on_the_seed_alone() -> None:
    def trained(augment: bool, seed: int = 5) -> dict[str, np.ndarray]:
        module, data = trainable_module(small_network()[0]), small_data()
        recipe = replace(RECIPE, augment=augment)
        short_term_finetune(module, data, recipe, steps=3, seed=seed, pulse=no_pulse)
        return dict(read_weights(module))

    plain, shifted, again = trained(False), trained(True), trained(True)
    assert all((shifted[name] == again[name]).all() for name in shifted)
    assert any((shifted[name] != plain[name]).any() for name in shifted)


def test_a_fine_tuning_of_so_many_steps_takes_whole_epochs_and_the_rest_and_can_be_killed() -> None:
    data, network = small_data(), small_network()[0]
    trainer = NetworkTrainer(data, data.holdout, SETTINGS, None)
    steps = 2 * trainer.steps_per_epoch + 3

    def train(state: dict[str, np.ndarray] | None = None) -> list[EpochDone]:
        return list(trainer.finetune_for(network, steps, state, never))

    found = train()
    assert [(each.epoch, each.epochs) for each in found] == [(1, 3), (2, 3), (3, 3)]
    for done in found[:-1]:
        ended = train(dict(done.state))[-1]
        assert all(np.array_equal(ended.state[name], tensor) for name, tensor in found[-1].state.items())
    assert train(dict(found[-1].state)) == []


def test_a_last_epoch_of_few_steps_moves_the_weights_less_than_a_whole_one() -> None:
    data, network = small_data(), small_network()[0]
    trainer = NetworkTrainer(data, data.holdout, SETTINGS, None)
    one, whole = (
        next(iter(trainer.finetune_for(network, steps, None, never))) for steps in (1, trainer.steps_per_epoch)
    )

    def moved(done: EpochDone) -> float:
        tuned = finetuned(network, done.state).weights
        return sum(float(np.abs(tuned[name] - tensor).sum()) for name, tensor in network.weights.items())

    assert (one.epochs, whole.epochs) == (1, 1)
    assert 0 < moved(one) < moved(whole)


def test_images_set_aside_are_neither_trained_on_nor_in_the_holdout_and_can_be_judged_by() -> None:
    data = small_data()
    plain = NetworkTrainer(data, data.holdout, SETTINGS, None)
    assert plain.further_images == 0
    with pytest.raises(LookupError, match="no images were set aside"):
        plain.judge(small_network()[0])
    rows = np.arange(len(data.train))
    split = replace(data, train=data.train.subset(rows[20:]), further=data.train.subset(rows[:20]))
    judging = NetworkTrainer(split, data.holdout, SETTINGS, None)
    assert (judging.further_images, judging.judge(small_network()[0]).images) == (20, 20)
