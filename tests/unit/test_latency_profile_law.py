"""The profile on a machine whose law is known: kernels, a fixed cost per run, and a profiler that adds its own."""

from collections.abc import Sequence
from math import prod

import onnx
import pytest

from adapt.formats.onnx_writer import write_onnx
from adapt.graph.network import Graph
from adapt.graph.pruning import ChannelGroup, Slice, pruned_graph
from adapt.latency.device import InProcess
from adapt.latency.predictor import fit
from adapt.latency.profile import take_profile
from adapt.latency.runtimes.contract import Kernel
from adapt.latency.units import OVERHEAD
from adapt.latency.variants import random_network
from tests.latency import StandInRuntime, StandInSession, residual_graph

RUN_COST_MS = 0.5
PROFILER_COST_MS = 0.01


def true_ms(graph: Graph) -> float:
    kernels = kernels_of(write_onnx(random_network(graph)))
    return RUN_COST_MS + sum(kernel.ms - PROFILER_COST_MS for kernel in kernels)


class LawfulRuntime(StandInRuntime):
    """A kernel takes a little, and a microsecond per weight; the machine slows down steadily all the while."""

    def __init__(self) -> None:
        super().__init__(lambda seconds: 1.0 + 0.02 * seconds)

    def load(self, onnx: bytes) -> StandInSession:
        total_ms = RUN_COST_MS + sum(kernel.ms - PROFILER_COST_MS for kernel in kernels_of(onnx))
        return super().load(str(total_ms).encode())

    def profile(self, onnx: bytes, repeats: int) -> Sequence[Kernel]:
        return kernels_of(onnx)


def kernels_of(model: bytes) -> list[Kernel]:
    graph = onnx.load_from_string(model).graph
    sizes = {tensor.name: prod(tensor.dims) for tensor in graph.initializer}
    return [
        Kernel(
            name=node.name,
            operator=node.op_type,
            ms=PROFILER_COST_MS + 0.005 + 0.001 * sum(sizes.get(name, 0) for name in node.input[1:2]),
        )
        for node in graph.node
    ]


def hidden_group(channels: int) -> ChannelGroup:
    """The expansion layer of `residual_graph`."""
    positions = tuple((channel,) for channel in range(channels))
    parts = [("conv2d_3.weight", 0), ("conv2d_6.weight", 0), ("conv2d_9.weight", 1)]
    parts += [
        (f"batch_norm_{n}.{role}", 0) for n in (4, 7) for role in ("weight", "bias", "running_mean", "running_var")
    ]
    slices = tuple(Slice(tensor=tensor, axis=axis, positions=positions) for tensor, axis in parts)
    return ChannelGroup(id="hidden", kind="expansion", layers=("hidden",), channels=channels, slices=slices)


def test_a_known_law_is_found_again_through_drift_profiler_and_fixed_cost() -> None:
    graph, groups, runtime = residual_graph(192), [hidden_group(192)], LawfulRuntime()
    profile = take_profile(
        random_network(graph), groups, InProcess(runtime, clock=runtime.clock), seed=0, variants=20, clock=runtime.clock
    )
    predictor = fit(profile.table)
    for count in (192, 136, 72, 24):
        candidate = pruned_graph(graph, groups, {"hidden": count})
        expected = true_ms(candidate) / true_ms(graph)
        assert predictor.predict_ms(candidate) / profile.original_ms == pytest.approx(expected, rel=0.03)
    assert any(entry.operator == OVERHEAD for entry in profile.table.entries)
