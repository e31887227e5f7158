"""What a job measures is answered from its record first, and teaches the table where it was wrong."""

import random
from collections.abc import Sequence

import onnx
import pytest

from adapt.events import Latency
from adapt.graph.network import Network
from adapt.latency.device import InProcess
from adapt.latency.meters import DeviceMeter
from adapt.latency.predictor import fit
from adapt.latency.runtimes.contract import Kernel
from adapt.latency.table import Entry, LookupTable
from adapt.latency.units import find_units
from adapt.latency.variants import random_network
from adapt.stop import never
from tests.latency import CONDITIONS, StandInRuntime, StandInSession, residual_graph

KERNEL_MS = 0.25


class EvenRuntime(StandInRuntime):
    """Every node takes the same time."""

    def __init__(self) -> None:
        self.slow = lambda: 1.0
        super().__init__(lambda seconds: self.slow())
        self.profiled = 0

    def load(self, onnx_file: bytes) -> StandInSession:
        return super().load(str(KERNEL_MS * len(kernels_of(onnx_file))).encode())

    def profile(self, onnx_file: bytes, repeats: int) -> Sequence[Kernel]:
        self.profiled += 1
        return kernels_of(onnx_file)


def kernels_of(file: bytes) -> list[Kernel]:
    graph = onnx.load_from_string(file).graph
    return [Kernel(name=node.name, operator=node.op_type, ms=KERNEL_MS) for node in graph.node]


@pytest.fixture
def network() -> Network:
    return random_network(residual_graph(32))


@pytest.fixture
def runtime() -> EvenRuntime:
    return EvenRuntime()


def wrong_table(network: Network) -> LookupTable:
    """Everything takes ten times what it takes."""
    entries = {
        (unit.operator, unit.shape): Entry(
            operator=unit.operator, shape=unit.shape, ms=10 * KERNEL_MS * len(unit.nodes), count=1, spread=0.0
        )
        for unit in find_units(network.graph)
    }
    return LookupTable(entries=tuple(entries.values()), calibration=1.0, conditions=CONDITIONS)


def meter_of(network: Network, runtime: EvenRuntime, recorded: dict[str, Latency], *, predicts: bool) -> DeviceMeter:
    device = InProcess(runtime, clock=runtime.clock)
    return DeviceMeter(network, (lambda: wrong_table(network)) if predicts else None, device, recorded, never)


def test_what_was_measured_is_put_back_into_the_table(network: Network, runtime: EvenRuntime) -> None:
    meter = meter_of(network, runtime, {}, predicts=True)
    before_ms = meter.predict(network.graph)
    measured = meter.measure("0", network)
    assert measured.predicted_ms == before_ms
    assert sum(entry.ms * entry.count for entry in measured.entries) <= measured.ms * 1.001
    assert abs(meter.predict(network.graph) - measured.ms) < abs(before_ms - measured.ms)


def test_a_resumed_job_predicts_what_it_predicted_before(network: Network, runtime: EvenRuntime) -> None:
    first = meter_of(network, runtime, {}, predicts=True)
    recorded = {"0": first.measure("0", network)}
    resumed = meter_of(network, runtime, recorded, predicts=True)
    assert resumed.measure("0", network) is recorded["0"]
    assert resumed.predict(network.graph) == first.predict(network.graph)
    assert runtime.profiled == 1


def test_entries_carry_what_they_hold_for(network: Network, runtime: EvenRuntime) -> None:
    measured = meter_of(network, runtime, {}, predicts=True).measure("0", network)
    assert measured.conditions == CONDITIONS.fingerprint()
    assert fit(wrong_table(network).with_entries(measured.entries)).predict_ms(network.graph) > 0


def test_a_reading_of_a_busy_machine_is_taken_once_more_and_says_so(network: Network) -> None:
    chance = random.Random(0)
    runtime = EvenRuntime()
    runtime.slow = lambda: chance.uniform(1.0, 3.0)
    measured = meter_of(network, runtime, {}, predicts=False).measure("0", network)
    assert not measured.quiet
    assert measured.disturbed > 0.5
    assert len(runtime.sessions) == 3  # the reference, and the candidate twice


def test_without_a_budget_in_latency_nothing_is_profiled_or_predicted(network: Network, runtime: EvenRuntime) -> None:
    meter = meter_of(network, runtime, {}, predicts=False)
    measured = meter.measure("0", network)
    assert (measured.predicted_ms, measured.entries, runtime.profiled) == (None, (), 0)
    with pytest.raises(LookupError, match="latency budget"):
        meter.predict(network.graph)
