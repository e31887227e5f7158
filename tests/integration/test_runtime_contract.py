"""What every runtime promises, asked of each of them, in this process and in the one that measures.

Compiling takes seconds for each network: all of this is about one tiny network.
"""

import math
from collections.abc import Iterator
from contextlib import closing

import onnxruntime
import pytest
import torch

from adapt.errors import MeasurementFailed
from adapt.graph.network import Graph
from adapt.latency.attribution import attribute, with_plain_names
from adapt.latency.conditions import Conditions
from adapt.latency.device import Device
from adapt.latency.local_device import LocalDevice
from adapt.latency.machine_lock import MachineLock
from adapt.latency.network_files import NetworkFiles
from adapt.latency.predictor import fit
from adapt.latency.profile import take_profile
from adapt.latency.reading import Plan
from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.latency.runtimes.contract import Runtime
from adapt.latency.runtimes.opening import open_runtime
from adapt.latency.units import find_units
from adapt.latency.variants import random_network
from tests.small_task import small_network

# What torch's compiler imports warns of itself.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

CHOICES = {
    "onnxruntime": RuntimeChoice(),
    "onnxruntime, int8": RuntimeChoice(precision="int8"),
    "onnxruntime, two threads": RuntimeChoice(threads=2),
    "onnxruntime, batch 4": RuntimeChoice(batch=4),
    "torch": RuntimeChoice(runtime="torch", provider="cpu"),
    "torch, batch 4": RuntimeChoice(runtime="torch", provider="cpu", batch=4),
    "torch-compile": RuntimeChoice(runtime="torch-compile", provider="cpu"),
    "torch on a GPU": RuntimeChoice(runtime="torch", provider="cuda"),
    "torch-compile on a GPU": RuntimeChoice(runtime="torch-compile", provider="cuda"),
    "onnxruntime on a GPU": RuntimeChoice(provider="CUDAExecutionProvider"),
}
SHORT = Plan(minimum_pairs=6, minimum_s=0.0, maximum_s=0.1, profile_s=0.01)


@pytest.fixture(params=CHOICES)
def choice(request: pytest.FixtureRequest) -> Iterator[RuntimeChoice]:
    chosen = CHOICES[request.param]
    if chosen.provider == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA GPU here")
    if chosen.runtime == "onnxruntime" and chosen.provider not in onnxruntime.get_available_providers():
        pytest.skip(f"onnxruntime has no {chosen.provider} here")
    threads = torch.get_num_threads()
    yield chosen
    torch.set_num_threads(threads)


@pytest.fixture
def runtime(choice: RuntimeChoice) -> Runtime:
    return open_runtime(choice)


def plain_graph() -> Graph:
    return with_plain_names(small_network()[0].graph)


def file_for(choice: RuntimeChoice, conditions: Conditions) -> bytes:
    return NetworkFiles(kind=choice.file, conditions=conditions).write_variant(random_network(plain_graph()))


def test_the_conditions_say_what_was_asked_for_and_what_it_runs_on(choice: RuntimeChoice, runtime: Runtime) -> None:
    found = runtime.conditions
    asked = (choice.runtime, choice.provider, choice.threads, choice.batch, choice.precision)
    assert (found.runtime, found.provider, found.threads, found.batch, found.precision) == asked
    assert found.runtime_version == (onnxruntime if choice.runtime == "onnxruntime" else torch).__version__
    assert found.cpu
    assert found.instruction_set
    assert found.fingerprint() == open_runtime(choice).conditions.fingerprint()


def test_a_network_is_run_as_often_as_asked_until_it_is_closed(choice: RuntimeChoice, runtime: Runtime) -> None:
    session = runtime.load(file_for(choice, runtime.conditions))
    times = session.time_ms(7)
    assert len(times) == 7
    assert all(0 < ms < 60_000 for ms in times)
    session.close()
    session.close()


def test_every_kernel_belongs_to_an_operator_of_the_network(choice: RuntimeChoice, runtime: Runtime) -> None:
    graph = plain_graph()
    units = find_units(graph)
    kernels = runtime.profile(file_for(choice, runtime.conditions), 3)
    times, unattributed = attribute(kernels, units, graph)
    assert unattributed.kernels == 0
    assert all(kernel.ms >= 0 for kernel in kernels)
    layers = [time for unit, time in zip(units, times, strict=True) if "conv" in unit.operator]
    assert layers
    assert all(time.kernels >= 1 for time in layers)


def test_a_file_that_it_cannot_read_is_an_error_of_ours(choice: RuntimeChoice, runtime: Runtime) -> None:
    with pytest.raises(MeasurementFailed, match="refused"):
        runtime.load(b"no network")
    with pytest.raises(MeasurementFailed, match="refused"):
        runtime.profile(b"no network", 1)


def test_a_look_up_table_is_filled_and_predicts_in_the_process_that_measures(
    choice: RuntimeChoice, tmp_path: object
) -> None:
    with closing(LocalDevice(choice, MachineLock(tmp_path))) as device:
        _check_profile(device, choice)
        file = file_for(choice, device.conditions)
        reading = device.read(file, file, SHORT)
        with pytest.raises(MeasurementFailed, match="refused"):
            device.read(b"no network", file, SHORT)
    assert reading.conditions.batch == choice.batch
    assert reading.runs > 0
    assert reading.kernels


def _check_profile(device: Device, choice: RuntimeChoice) -> None:
    network, groups = small_network()
    profile = take_profile(network, groups, device, seed=0, variants=3, maximum_seconds=0.0)
    assert profile.table.conditions == device.conditions
    assert profile.table.missing(network.graph) == ()
    predicted_ms = fit(profile.table).predict_ms(network.graph)
    assert math.isfinite(predicted_ms)
    assert profile.original_ms / 10 < predicted_ms < profile.original_ms * 10
    assert device.file == choice.file
