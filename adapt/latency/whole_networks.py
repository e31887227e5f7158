"""Whole networks measured end to end, to know what a search could reach before there is a search."""

from dataclasses import dataclass

from adapt.graph.network import Graph
from adapt.latency.device import Device
from adapt.latency.measure import evaluated
from adapt.latency.network_files import NetworkFiles
from adapt.latency.reading import Plan
from adapt.latency.variants import random_network
from adapt.stop import Stop, never

PLAN = Plan(minimum_pairs=15, minimum_s=0.3, maximum_s=1.0)  # two networks, each well under a second where it is quiet


@dataclass(frozen=True, kw_only=True)
class WholeNetwork:
    """Milliseconds with their interval, in terms of the original when it was first measured; `original_ms` is what it
    took in the same session."""

    ms: float
    low: float
    high: float
    original_ms: float


def measure_original(graph: Graph, device: Device, stop: Stop = never) -> WholeNetwork:
    """Beside itself, so that it has an interval too. Raises MeasurementFailed, Stopped."""
    found = _measure(graph, graph, device, None, stop)
    scale = found.original_ms / found.ms  # it is the unit of every ratio: its figure is its own median
    return WholeNetwork(
        ms=found.ms * scale, low=found.low * scale, high=found.high * scale, original_ms=found.original_ms
    )


def measure_beside(
    graph: Graph, original: Graph, then: WholeNetwork, device: Device, stop: Stop = never
) -> WholeNetwork:
    """A pruned version beside the original, whose figure is `then`. Raises MeasurementFailed, Stopped."""
    return _measure(graph, original, device, then.ms, stop)


def _measure(graph: Graph, original: Graph, device: Device, then_ms: float | None, stop: Stop) -> WholeNetwork:
    files = NetworkFiles(kind=device.file, conditions=device.conditions)
    reference, candidate = (files.write_variant(random_network(each)) for each in (original, graph))
    found = evaluated(device.read(candidate, reference, PLAN, stop), then_ms)
    return WholeNetwork(ms=found.ms, low=found.low, high=found.high, original_ms=found.original_ms)
