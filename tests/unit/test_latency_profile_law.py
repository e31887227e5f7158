"""The profile on a machine whose law is known: kernels, a fixed cost per run, and a profiler that adds its own."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
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


def test_what_was_learned_on_one_network_serves_another_on_a_machine_that_is_slower_today() -> None:
    wide, narrow = residual_graph(192), residual_graph(160)
    runtime, later = LawfulRuntime(), LawfulRuntime()
    later.now_s = 40.0
    first = take_profile(
        random_network(wide), [hidden_group(192)], InProcess(runtime, clock=runtime.clock), seed=0, clock=runtime.clock
    )
    device = InProcess(later, clock=later.clock)
    second = take_profile(
        random_network(narrow), [hidden_group(160)], device, seed=0, prior=first.table, clock=later.clock
    )
    assert (second.with_prior, second.variants, len(second.measured)) == (True, 6, 6)
    assert second.original_ms > 1.3 * true_ms(narrow)
    for count in (160, 104, 40):
        candidate = pruned_graph(narrow, [hidden_group(160)], {"hidden": count})
        expected = true_ms(candidate) / true_ms(narrow)
        assert fit(second.table).predict_ms(candidate) / second.original_ms == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("why", ["other conditions", "a place that was never seen", "far more channels"])
def test_a_table_that_does_not_cover_the_network_spares_nothing(why: str) -> None:
    graph, runtime = residual_graph(64), LawfulRuntime()
    take = partial(take_profile, seed=0, variants=8, clock=runtime.clock)
    device = InProcess(runtime, clock=runtime.clock)
    table = take(random_network(graph), [hidden_group(64)], device).table
    if why == "other conditions":
        table = replace(table, conditions=replace(table.conditions, threads=2))
    elif why == "a place that was never seen":
        table = replace(table, entries=tuple(e for e in table.entries if not e.operator.startswith("dwconv")))
    else:
        graph = residual_graph(128)
    hidden = graph.weight_shapes["conv2d_3.weight"][0]
    found = take(random_network(graph), [hidden_group(hidden)], device, prior=table)
    assert (found.with_prior, found.variants) == (False, 8)
    assert found.table.missing(graph) == ()
