"""What training batches say about channels is right, reproducible, and there for every group that can be pruned."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from adapt.data.dataset import TrainingData, whole_part
from adapt.errors import Stopped
from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup, Kept, Layout, all_kept, prune
from adapt.groups import channel_groups
from adapt.importance import CRITERIA, Subject, activation, taylor
from adapt.modules import build_module
from adapt.spec import Importance, Normalization
from adapt.stop import never
from adapt.training.evidence import EVIDENCE_BATCHES, TrainingEvidence
from tests.networks import FAMILIES, INPUT_SHAPE, uploaded
from tests.odd_networks import ODD, ODD_SHAPE
from tests.small_task import SETTINGS, small_data, small_network

FAMILY = ("mobilenet-v3-small", "resnet-18-cifar")
EVERY = {**{name: (FAMILIES[name], INPUT_SHAPE) for name in FAMILY}, **{odd.__name__: (odd, ODD_SHAPE) for odd in ODD}}


def evidence(seed: int = 1, network: Network | None = None, data: TrainingData | None = None) -> TrainingEvidence:
    found = network or small_network()[0]
    return TrainingEvidence(found, data or small_data(), SETTINGS, None, never, seed)


def some_images(network: Network, classes: int) -> TrainingData:
    channels, height, width = network.graph.input_shape
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (8, height, width, channels)).astype(np.uint8)
    part = whole_part(images, draw.integers(0, classes, 8))
    grey = Normalization(mean=(0.5,) * channels, std=(0.5,) * channels)
    return TrainingData(train=part, holdout=part, normalization=grey)


@cache
def built(name: str) -> tuple[Network, tuple[ChannelGroup, ...]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        build, shape = EVERY[name]
        network = uploaded(build(), shape)
    return network, channel_groups(network)


@pytest.mark.parametrize("name", EVERY)
def test_every_group_of_every_network_can_be_judged_by_every_importance(name: str) -> None:
    network, groups = built(name)
    classes = build_module(network).eval()(torch.zeros(1, *network.graph.input_shape)).shape[1]
    check_every_criterion(network, groups, all_kept(groups), some_images(network, classes))
    halved = all_kept(groups) | {
        group.id: tuple(range(0, group.channels, 2)) for group in groups if group.prunable and group.channels > 3
    }
    pruned = prune(network.graph, groups, network, all_kept(groups), halved)
    check_every_criterion(pruned, groups, halved, some_images(network, classes), network)


def check_every_criterion(
    network: Network,
    groups: tuple[ChannelGroup, ...],
    kept: Kept,
    data: TrainingData,
    original: Network | None = None,
) -> None:
    layout = Layout((original or network).graph, groups, kept)
    subject = Subject(network=network, layout=layout, evidence=evidence(network=network, data=data))
    for group in (group for group in groups if group.prunable):
        for importance in get_args(Importance):
            figures = CRITERIA[importance](group, subject)
            assert figures.shape == (len(kept[group.id]),)
            assert np.isfinite(figures).all()
            assert (figures >= 0).all()


def of_one_batch(network: Network, groups: tuple[ChannelGroup, ...], data: TrainingData) -> Subject:
    layout = Layout(network.graph, groups, all_kept(groups))
    return Subject(network=network, layout=layout, evidence=evidence(network=network, data=data))


def as_read(data: TrainingData) -> tuple[torch.Tensor, torch.Tensor]:
    """What evidence of a data set of one batch sees: all of it, whatever the order."""
    images, labels = data.train.take(np.arange(len(data.train)))
    pixels = torch.from_numpy((images / 255 - 0.5) / 0.5).permute(0, 3, 1, 2)
    return pixels, torch.from_numpy(labels)


def loss_with(network: Network, data: TrainingData, scaled: Mapping[str, NDArray[np.float64]]) -> float:
    """In double precision, with the columns of these weights scaled."""
    module = build_module(network).double().eval()
    for tensor, factors in scaled.items():
        weight = module.get_parameter(tensor)
        with torch.no_grad():
            weight.mul_(torch.from_numpy(factors).view(1, -1, *[1] * (weight.ndim - 2)))
    images, labels = as_read(data)
    with torch.no_grad():
        return float(F.cross_entropy(module(images), labels))


@pytest.mark.parametrize(
    "name", ["Dense", "Grouped", "TwoChannelsPerGroup", "SharedLayer", "LinearSqueeze", "FlattenedSum"]
)
def test_taylor_says_how_the_loss_moves_when_less_of_a_channel_is_read(name: str) -> None:
    network, groups = built(name)
    classes = build_module(network).eval()(torch.zeros(1, *network.graph.input_shape)).shape[1]
    data, step = some_images(network, classes), 1e-6
    prunable = [group for group in groups if group.prunable]
    assert prunable
    for group in prunable:
        found = taylor(group, of_one_batch(network, groups, data))
        for channel in (0, group.channels - 1):
            scaled: dict[str, NDArray[np.float64]] = {}
            for part in (part for part in group.slices if part.axis == 1):
                factors = scaled.setdefault(part.tensor, np.ones(network.graph.weight_shapes[part.tensor][1]))
                factors[list(part.positions[channel])] -= step
            slope = (loss_with(network, data, scaled) - loss_with(network, data, {})) / step
            assert found[channel] == pytest.approx(slope**2, rel=1e-2, abs=1e-9)


def test_the_activation_is_that_of_what_later_layers_read() -> None:
    network, groups = small_network()
    data = replace(small_data(), train=small_data().train.subset(np.arange(64)))
    images, _ = as_read(data)
    module = build_module(network).eval()
    values: dict[str, torch.Tensor] = {}
    module.get_submodule("2.0").register_forward_pre_hook(lambda layer, inputs: values.update(read=inputs[0]))
    with torch.no_grad():
        module(images.float())
    (group,) = [
        group for group in groups if any(part.tensor == "2.0.weight" for part in group.slices if part.axis == 1)
    ]
    found = activation(group, of_one_batch(network, groups, data))
    np.testing.assert_allclose(found, values["read"].abs().mean((0, 2, 3)).double().numpy(), rtol=1e-5)


def test_evidence_is_the_same_on_any_number_of_threads_and_depends_on_its_seed() -> None:
    def bits(seed: int, threads: int) -> bytes:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            told = evidence(seed)
            batches = [*told.saliences(), told.activations()]
        finally:
            torch.set_num_threads(before)
        return b"".join(figures.tobytes() for batch in batches for _, figures in sorted(batch.items()))

    assert bits(1, 1) == bits(1, 2)
    assert bits(1, 1) != bits(2, 1)


def test_evidence_is_of_a_few_batches_and_leaves_the_network_as_it_was() -> None:
    network, _ = small_network()
    before = {name: tensor.copy() for name, tensor in network.weights.items()}
    told = evidence()
    assert len(told.saliences()) == EVIDENCE_BATCHES
    assert told.saliences() is told.saliences()  # computed once
    assert all((network.weights[name] == tensor).all() for name, tensor in before.items())


def test_evidence_stops_when_asked_to() -> None:
    told = TrainingEvidence(small_network()[0], small_data(), SETTINGS, None, lambda: True, 0)
    for ask in (told.activations, told.saliences):
        with pytest.raises(Stopped):
            ask()
