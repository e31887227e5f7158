"""This machine as a device: a process of its own that crashes, hangs and is stopped without harm to anybody."""

import os
import signal
import threading
import time
from contextlib import closing

import onnx
import pytest

from adapt.errors import MeasurementFailed, Stopped
from adapt.formats.onnx_writer import write_onnx
from adapt.latency.local_device import ATTEMPTS, LocalDevice
from adapt.latency.machine_lock import MachineLock
from adapt.latency.measure import evaluated
from adapt.latency.network_files import NetworkFiles
from adapt.latency.reading import Plan, reading_from_document
from adapt.latency.runtimes.choice import RuntimeChoice
from tests.networks import FAMILIES, uploaded

SHORT = Plan(minimum_pairs=6, minimum_s=0.0, maximum_s=0.1)


@pytest.fixture(scope="module")
def network():
    return write_onnx(uploaded(FAMILIES["mobilenet-v2"]()))


@pytest.fixture
def device(tmp_path):
    with closing(LocalDevice(RuntimeChoice(), MachineLock(tmp_path))) as device:
        yield device


def test_it_measures_beside_the_reference_and_profiles_where_that_is_asked(device, network):
    plain = device.read(network, network, SHORT)
    assert 0.2 < evaluated(plain).ratio < 5
    assert plain.kernels == ()
    assert plain.conditions == device.conditions
    profiled = device.read(network, network, Plan(maximum_s=0.1, minimum_s=0.0, profile_s=0.01))
    assert any("Conv" in kernel.operator for kernel in profiled.kernels)
    assert reading_from_document(profiled.to_document()) == profiled


def test_measuring_has_a_process_of_its_own_that_ends_with_it(device, network):
    device.read(network, network, SHORT)
    pid = device.pid
    assert pid not in (None, os.getpid())
    device.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_the_runtime_refuses_is_told_and_the_process_goes_on(device, network):
    with pytest.raises(MeasurementFailed, match="refused"):
        device.read(b"no network", network, SHORT)
    assert device.read(network, network, SHORT).runs > 0


def test_a_provider_that_is_not_installed_is_told_by_name(tmp_path):
    with (
        closing(LocalDevice(RuntimeChoice(provider="NoSuchProvider"), MachineLock(tmp_path))) as device,
        pytest.raises(MeasurementFailed, match=r"NoSuchProvider is not installed; there are .*CPUExecutionProvider"),
    ):
        _ = device.conditions


def kill_soon(device, times):
    """Kills its process, and then the next one, each as soon as it measures."""
    killed = set()
    while len(killed) < times:
        pid = device.pid
        if pid is not None and pid not in killed:
            time.sleep(0.5)
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        time.sleep(0.01)


def test_a_process_that_dies_in_the_middle_is_replaced_and_the_reading_taken_again(device, network):
    device.read(network, network, SHORT)
    first = device.pid
    killer = threading.Thread(target=kill_soon, args=(device, 1))
    killer.start()
    assert device.read(network, network, Plan(minimum_s=1.5, maximum_s=1.5)).runs > 0
    killer.join()
    assert device.pid != first


def test_a_network_that_its_process_dies_of_every_time_is_told_of(device, network):
    killer = threading.Thread(target=kill_soon, args=(device, ATTEMPTS))
    killer.start()
    with pytest.raises(MeasurementFailed, match="SIGKILL"):
        device.read(network, network, Plan(minimum_s=60.0, maximum_s=60.0))
    killer.join()
    assert device.read(network, network, SHORT).runs > 0


def test_it_stops_in_the_middle_of_a_measurement(device, network):
    begun = time.monotonic()
    with pytest.raises(Stopped):
        device.read(network, network, Plan(minimum_s=60.0, maximum_s=60.0), lambda: time.monotonic() > begun + 0.3)
    assert device.read(network, network, SHORT).runs > 0


def test_nothing_is_measured_while_something_of_ours_trains(device, network, tmp_path):
    device.read(network, network, SHORT)  # the process is up, and would take a tenth of a second
    with MachineLock(tmp_path).training():
        begun = time.monotonic()
        with pytest.raises(Stopped):
            device.read(network, network, SHORT, lambda: time.monotonic() > begun + 3)
    assert device.read(network, network, SHORT).runs > 0


def test_the_file_says_under_what_conditions_it_was_measured(device):
    network = uploaded(FAMILIES["mobilenet-v2"]())
    files = NetworkFiles(kind=device.file, conditions=device.conditions)
    properties = {p.key: p.value for p in onnx.load_from_string(files.write(network)).metadata_props}
    assert properties["netadapt.threads"] == "1"
    assert properties["netadapt.batch"] == "1"
    assert properties["netadapt.runtime"].startswith("onnxruntime 1.")
    assert files.write(network) == files.write(network)
