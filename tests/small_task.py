"""A training task that takes a fraction of a second: a tiny network, digits at 8 x 8 pixels, a few steps."""

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import nn

from adapt.data.dataset import TrainingData
from adapt.data.digits import digits
from adapt.data.split import split_holdout
from adapt.executors.contract import Candidate
from adapt.executors.task import TrainingTask
from adapt.formats.pt2 import read_pt2
from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup, Kept, all_kept
from adapt.groups import channel_groups
from adapt.spec import Settings, default_normalization, derive_seed
from tests.networks import conv_bn, export_pt2

SETTINGS = Settings(
    short_term_steps=4, long_term_epochs=3, batch_size=64, learning_rate=0.02, long_term_learning_rate=0.02
)


def tiny_network() -> nn.Module:
    """Batch norm, a depthwise convolution, and dropout: all that makes training depend on more than its weights."""
    return nn.Sequential(
        conv_bn(1, 16, 3),
        conv_bn(16, 16, 3, 2, groups=16),
        conv_bn(16, 24),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(24, 10),
    )


def without_batch_norm() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 32), nn.ReLU(), nn.Linear(32, 10)
    )


def as_network(module: nn.Module) -> Network:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.pt2"
        path.write_bytes(export_pt2(module, (1, 1, 8, 8)))
        return read_pt2(path)


@cache
def small_network() -> tuple[Network, tuple[ChannelGroup, ...]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = as_network(tiny_network())
    return network, tuple(channel_groups(network))


@cache
def small_data() -> TrainingData:
    train = digits().train
    rest, holdout = split_holdout(train.part_labels, 0, 0.1)
    return TrainingData(train=train.subset(rest), holdout=train.subset(holdout), normalization=default_normalization(1))


def small_task(lock_directory: Path | None = None, teacher: Network | None = None, **changed: object) -> TrainingTask:
    network, groups = small_network()
    settings = replace(SETTINGS, **changed)  # type: ignore[arg-type]
    return TrainingTask(
        original=network.graph,
        groups=groups,
        data=small_data(),
        settings=settings,
        teacher=teacher,
        lock_directory=lock_directory,
    )


def whole() -> Kept:
    return all_kept(small_network()[1])


def control(seed: int = 0) -> Candidate:
    return Candidate(group=None, kept=whole(), seed=seed, learning_rate=0.02)


def proposals() -> list[Candidate]:
    """Every group cut to half of its channels."""
    kept = whole()
    return [
        Candidate(
            group=group.id,
            kept={**kept, group.id: kept[group.id][::2]},
            seed=derive_seed(0, 1, group.id),
            learning_rate=0.02,
        )
        for group in small_network()[1]
        if group.prunable
    ]
