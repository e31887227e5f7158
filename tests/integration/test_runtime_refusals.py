"""What a runtime cannot do is said by name: providers, their options, compilers, threads of another make."""

from contextlib import closing

import onnxruntime
import pytest

from adapt.errors import MeasurementFailed
from adapt.formats.onnx_writer import write_onnx
from adapt.latency.local_device import LocalDevice
from adapt.latency.machine_lock import MachineLock
from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.latency.runtimes.onnxruntime import OnnxRuntime
from adapt.latency.runtimes.opening import open_runtime
from tests.small_task import small_network


@pytest.fixture(scope="module")
def onnx() -> bytes:
    return write_onnx(small_network()[0])


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (
            RuntimeChoice(runtime="tvm"),
            "'tvm' is not one of 'onnxruntime', 'torch', 'torch-compile'; a package that adds it",
        ),
        (RuntimeChoice(provider="NoSuchProvider"), "not installed; there are .*CPUExecutionProvider"),
        (RuntimeChoice(runtime="torch", provider="tpu"), "provider tpu is not there; there are cpu"),
        (RuntimeChoice(runtime="torch", provider="cpu", precision="int8"), "onnxruntime alone"),
        (RuntimeChoice(runtime="torch", provider="cpu", provider_options={"fast": "1"}), "has no options"),
    ],
)
def test_a_runtime_that_cannot_be_opened_says_what_there_is(choice: RuntimeChoice, says: str) -> None:
    with pytest.raises(MeasurementFailed, match=says):
        open_runtime(choice)


def test_options_that_the_provider_does_not_have_are_refused_by_name(onnx: bytes) -> None:
    runtime = OnnxRuntime(RuntimeChoice(provider_options={"turbo": "1"}))
    with pytest.raises(MeasurementFailed, match="CPUExecutionProvider has no option turbo; it has none"):
        runtime.load(onnx)


def test_a_provider_on_which_nothing_runs_is_no_silent_fall_back(onnx: bytes) -> None:
    idle = "AzureExecutionProvider"  # in every build; runs only operators of its own
    if idle not in onnxruntime.get_available_providers():
        pytest.skip("this build of onnxruntime has no provider that runs nothing")
    runtime = OnnxRuntime(RuntimeChoice(provider=idle))
    with pytest.raises(MeasurementFailed, match=f"nothing of the network ran on {idle}, all .* CPUExecutionProvider"):
        runtime.load(onnx)
    with pytest.raises(MeasurementFailed, match="nothing of the network ran"):
        runtime.profile(onnx, 1)


def test_without_a_compiler_there_is_no_torch_compile(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/no/such/compiler")
    choice = RuntimeChoice(runtime="torch-compile", provider="cpu")
    with (
        closing(LocalDevice(choice, MachineLock(tmp_path))) as device,
        pytest.raises(MeasurementFailed, match="no compiler to compile with"),
    ):
        _ = device.conditions
