"""The small jobs of `benchmarks.crash`: what each is asked for, and the network and the fixed table that they need."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adapt.checkpoint import read_network
from adapt.graph.network import Network
from adapt.graph.pruning import pruned_graph
from adapt.groups import channel_groups
from adapt.latency.conditions import Conditions
from adapt.latency.predictor import Size
from adapt.latency.table import Entry, LookupTable
from adapt.latency.units import find_units
from adapt.zoo.catalogue import get_architecture
from adapt.zoo.initial import initial_network
from app.client import Client

Request = Mapping[str, Any]
SIDE = 16
ARCHITECTURE = "mobilenet_v1_0.25"
QUICK = {
    "preset": "quick",
    "executor": "processes",
    "batch_size": 32,
    "short_term_steps": 10,
    "long_term_epochs": 4,
    "allow_low_accuracy": True,  # nothing is to be learned here but whether nothing is lost
    "schedule": {"initial": 0.08, "decay": 1.0},
}
TRAINING = {"training_epochs": 2, "long_term_epochs": 2, "short_term_steps": 2, "include": ["features.1[23].*"]}
CONDITIONS = Conditions(
    runtime="formula",
    runtime_version="1",
    provider="none",
    threads=1,
    batch=1,
    precision="float32",
    cpu="none",
    instruction_set="none",
)


class SmallNetwork(nn.Module):
    """[N, 1, 16, 16] to [N, 10]: convolutions with batch norm, one of them depthwise, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(1, 16, stride=2),
            *_convolution(16, 16, groups=16),
            *_convolution(16, 32, stride=2),
            *_convolution(32, 48),
        )
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(48, 10)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.dropout(self.layers(images).mean((2, 3))))
        return scores


def requests_of(client: Client, folder: Path) -> list[Request]:
    """Ten: two are measured on this machine, two have a latency by a fixed table, three train an architecture first."""
    network = folder / "network.pt2"
    _export(network)
    model = client.models.add(network)["id"]
    fixed = {"target": client.targets.add(_table_target(read_network(network)))["id"]}
    by_macs = {"model": model, "budget": {"macs": "60%"}}
    by_latency = {"model": model, "budget": {"latency_ms": "70%"}} | fixed
    zoo = client.targets.add(_table_target(_architecture_built_for_digits()))["id"]
    untrained = {"model": ARCHITECTURE, "budget": {"params": "90%"}, "target": zoo}
    return [
        by_macs | fixed | _settings(seed=1),
        by_macs | fixed | _settings(seed=2),
        by_macs | fixed | _settings(seed=3, executor="serial"),
        by_macs | _settings(seed=4),
        by_macs | _settings(seed=5, executor="serial"),
        by_latency | _settings(seed=6),
        by_latency | _settings(seed=7, executor="serial"),
        *(untrained | _settings(seed=seed, **TRAINING) for seed in (8, 9)),
        untrained | _settings(seed=10, **TRAINING, executor="serial"),
    ]


def _settings(**changed: Any) -> dict[str, Any]:
    return {"settings": {**QUICK, **changed}}


def _convolution(channels_in: int, channels_out: int, *, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride, 1, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]


def _export(path: Path) -> None:
    torch.manual_seed(0)
    batch = torch.export.Dim("batch", min=1, max=1024)
    images = torch.zeros(2, 1, SIDE, SIDE)
    program = torch.export.export(SmallNetwork().eval(), (images,), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)


def _architecture_built_for_digits() -> Network:
    return initial_network(get_architecture(ARCHITECTURE).graph(10, (1, 32, 32)), seed=0)


def _table_target(network: Network) -> dict[str, Any]:
    """A fixed table by a formula, of the network at several widths."""
    groups = channel_groups(network)
    units: set[tuple[str, str]] = set()
    for share in (0.25, 0.5, 0.75, 1.0):
        counts = {each.id: max(1, int(share * each.channels)) if each.prunable else each.channels for each in groups}
        units |= {(unit.operator, unit.shape) for unit in find_units(pruned_graph(network.graph, groups, counts))}
    entries = [Entry(operator=name, shape=shape, ms=_ms(shape), count=1, spread=0.0) for name, shape in sorted(units)]
    table = LookupTable(entries=tuple(entries), calibration=1.0, conditions=CONDITIONS)
    return {"kind": "table", "table": table.to_document()}


def _ms(shape: str) -> float:
    size = Size.parse(shape)
    return 1e-6 * size.area_out * size.channels_out * (1 + 0.1 * size.per_filter)
