"""The trade-off on a network of three layers and a few hundred images, timed by a device without a clock."""

from functools import cache
from pathlib import Path

from adapt.data.dataset import Dataset
from adapt.graph.network import Graph
from adapt.graph.pruning import ChannelGroup, pruned_graph
from adapt.groups import channel_groups
from adapt.latency.machine_lock import MachineLock
from adapt.latency.reading import Plan, Reading
from adapt.latency.runtimes.choice import NetworkFile
from adapt.latency.table import Entry, LookupTable
from adapt.latency.units import find_units
from adapt.stop import Stop, never
from adapt.zoo.builder import GraphBuilder
from adapt.zoo.initial import initial_network
from benchmarks.cells import Cell, Cells
from benchmarks.tradeoff_images import GLYPHS, SIDE, rendered_glyphs
from benchmarks.tradeoff_study import Subject
from tests.latency import CONDITIONS

SETTINGS = {
    "preset": "netadapt",
    "schedule": {"initial": 0.2, "decay": 1.0},
    "short_term_steps": 2,
    "long_term_epochs": 2,
    "training_epochs": 2,
    "batch_size": 32,
    "allow_low_accuracy": True,
}


class WeighingDevice:
    """A file takes a microsecond for each of its bytes. `asked` counts."""

    file: NetworkFile = "onnx"
    conditions = CONDITIONS

    def __init__(self) -> None:
        self.asked = 0

    def read(self, candidate: bytes, reference: bytes, plan: Plan, stop: Stop = never) -> Reading:
        self.asked += 1
        times = [(len(file) / 1000,) * 20 for file in (candidate, reference)]
        return Reading(conditions=CONDITIONS, candidate_ms=times[0], reference_ms=times[1], runs=20)

    def close(self) -> None:
        """Nothing to give back."""


@cache
def chain() -> tuple[Graph, tuple[ChannelGroup, ...]]:
    builder = GraphBuilder((3, SIDE, SIDE))
    value = builder.images
    for index, filters in enumerate((16, 24, 32)):
        value = builder.conv_bn_act(value, f"conv{index}", f"norm{index}", filters, 3, stride=2)
    graph = builder.finish(builder.linear(builder.global_pool(value), "classes", len(GLYPHS)))
    return graph, channel_groups(initial_network(graph, 0))


@cache
def some_images() -> Dataset:
    return rendered_glyphs(train=320, test=80)


def subject_in(folder: Path, *, device: WeighingDevice | None = None, stop: Stop = never) -> Subject:
    graph, groups = chain()
    subject = Subject(
        name="chain",
        seed=0,
        graph=graph,
        groups=groups,
        images=some_images(),
        base=SETTINGS,
        cells=Cells(folder / "cells"),
        device=device or WeighingDevice(),
        place="here",
        lock=MachineLock(folder / "lock"),
        stop=stop,
    )
    profile = Cell(kind="profile", config={"network": "chain", "place": "here"})
    subject.cells.store(profile, {"table": _table(graph, groups).to_document(), "smallest_ratio": 0.2})
    return subject


def _table(graph: Graph, groups: tuple[ChannelGroup, ...]) -> LookupTable:
    """One millisecond an operator in the original, a quarter in the smallest network."""
    smallest = pruned_graph(graph, groups, {group.id: 8 for group in groups if group.prunable})
    found = {
        (unit.operator, unit.shape): Entry(operator=unit.operator, shape=unit.shape, ms=ms, count=5, spread=0.1)
        for network, ms in ((graph, 1.0), (smallest, 0.25))
        for unit in find_units(network)
    }
    return LookupTable(entries=tuple(found.values()), calibration=1.0, conditions=CONDITIONS)
