"""Whole networks measured end to end, to know what a search could reach before there is a search."""

from dataclasses import dataclass

from adapt.graph.network import Graph
from adapt.latency.device import Device
from adapt.latency.measure import PairedMeasurement, evaluated, evaluated_original
from adapt.latency.network_files import NetworkFiles
from adapt.latency.reading import Plan, Reading
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
    return _figures(evaluated_original(_read(graph, graph, device, stop)))


def measure_beside(
    graph: Graph, original: Graph, then: WholeNetwork, device: Device, stop: Stop = never
) -> WholeNetwork:
    """A pruned version beside the original, whose figure is `then`. Raises MeasurementFailed, Stopped."""
    return _figures(evaluated(_read(graph, original, device, stop), then.ms))


def _read(graph: Graph, original: Graph, device: Device, stop: Stop) -> Reading:
    files = NetworkFiles(kind=device.file, conditions=device.conditions)
    reference, candidate = (files.write_variant(random_network(each)) for each in (original, graph))
    return device.read(candidate, reference, PLAN, stop)


def _figures(found: PairedMeasurement) -> WholeNetwork:
    return WholeNetwork(ms=found.ms, low=found.low, high=found.high, original_ms=found.original_ms)
