"""PyTorch: eager or compiled (torch.compile), on the processor or on a CUDA GPU. An agent does not have it."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapt.checkpoint import read_safetensors
from adapt.errors import AdaptError, MeasurementFailed
from adapt.graph.network import Network
from adapt.latency.conditions import conditions_here
from adapt.latency.intervals import quick_runs_mean
from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.latency.runtimes.contract import Kernel
from adapt.modules import GraphModule, build_module

COMPILED = "torch-compile"
_WARM_UP = 3
_ERROR_LIMIT = 400  # characters


class TorchRuntime:
    """Runs our safetensors files: eval mode, inference mode, channels_last, float32 as torch comes set up.

    The number of threads is the process's: it is set here, for whatever else the process does with torch. A compiled
    network has no times of its operators; the eager network's stand in for them, as shares of the whole.
    """

    def __init__(self, choice: RuntimeChoice) -> None:
        """Raises MeasurementFailed for a provider that there is not, and where there is no compiler to compile with."""
        self._name = choice.runtime
        self._device = torch.device(_checked_provider(choice))
        torch.set_num_threads(choice.threads)
        if self._name == COMPILED:
            _prepare_compiling()
        gpu = [torch.cuda.get_device_name(self._device)] if self._device.type == "cuda" else []
        self.conditions = conditions_here(choice, torch.__version__, gpu)

    def load(self, file: bytes) -> "TorchSession":
        """Compiling takes tens of seconds. Raises MeasurementFailed."""
        network = self._read(file)
        module: Callable[[Tensor], Tensor] = self._module(network)
        if self._name == COMPILED:
            module = torch.compile(_with_code_of_its_own(module), fullgraph=True, dynamic=False)
        return TorchSession(module, self._images(network), self._device, self._name)

    def profile(self, file: bytes, repeats: int) -> Sequence[Kernel]:
        """Each node of the network on its own, as eager torch runs it: kernels are named like our nodes."""
        network = self._read(file)
        module, images = self._module(network), self._images(network)
        operators = {node.name: node.operator for node in network.graph.nodes}
        taken: dict[str, list[float]] = {name: [] for name in operators}
        with _told_as_ours(self._name, "a run under the profiler failed"), torch.inference_mode():
            for run in range(_WARM_UP + repeats):
                for name, ms in self._node_times(module, images):
                    if run >= _WARM_UP:
                        taken[name].append(ms)
        means = zip(taken, quick_runs_mean(list(taken.values())), strict=True)
        return [Kernel(name=name, operator=operators[name], ms=ms) for name, ms in means]

    def _node_times(self, module: GraphModule, images: Tensor) -> Iterator[tuple[str, float]]:
        clock = _clock(self._device)
        values = images.to(self._device)
        names, marks = [], [clock.mark()]
        for name in module.node_by_node(values):
            names.append(name)
            marks.append(clock.mark())
        return zip(names, clock.between(marks), strict=True)

    def _read(self, file: bytes) -> Network:
        with tempfile.TemporaryDirectory(prefix="netadapt-network-") as folder:
            path = Path(folder) / "network.safetensors"
            path.write_bytes(file)
            try:
                return read_safetensors(path)
            except AdaptError as error:
                raise MeasurementFailed(self._name, f"the network was refused: {error}") from error

    def _module(self, network: Network) -> GraphModule:
        try:
            module = build_module(network).eval().requires_grad_(False)
            # torch's own annotations do not know memory_format.
            return module.to(self._device, memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]
        except (AdaptError, RuntimeError) as error:  # torch's own, for a GPU that is full
            raise MeasurementFailed(self._name, f"the network was refused: {error}") from error

    def _images(self, network: Network) -> Tensor:
        shape = (self.conditions.batch, *network.graph.input_shape)
        pixels = torch.from_numpy(np.random.default_rng(0).random(shape, dtype=np.float32))
        return pixels.contiguous(memory_format=torch.channels_last)


class TorchSession:
    """Warmed up, and compiled where it is to be, when made."""

    def __init__(self, module: Callable[[Tensor], Tensor], images: Tensor, device: torch.device, runtime: str) -> None:
        self._module: Callable[[Tensor], Tensor] | None = module
        self._images, self._device, self._runtime = images, device, runtime
        with _told_as_ours(runtime, "the network could not be made ready"):
            self._run(_WARM_UP)

    def time_ms(self, repeats: int) -> list[float]:
        """Milliseconds of each run; on a GPU between events, the copies there and back included."""
        with _told_as_ours(self._runtime, "a run failed"):
            return self._run(repeats)

    def close(self) -> None:
        self._module = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _run(self, repeats: int) -> list[float]:
        module, clock = self._module, _clock(self._device)
        assert module is not None  # a session that was closed is not run
        times: list[float] = []
        with torch.inference_mode():
            for _ in range(repeats):
                begun = clock.mark()
                module(self._images.to(self._device)).cpu()
                times += clock.between([begun, clock.mark()])
        return times


class _HostClock:
    def mark(self) -> int:
        return time.perf_counter_ns()

    def between(self, marks: Sequence[int]) -> list[float]:
        return [(after - before) / 1e6 for before, after in pairwise(marks)]


class _CudaClock:
    """Events in the GPU's own stream: the host is far ahead of its kernels."""

    def mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def between(self, marks: Sequence[torch.cuda.Event]) -> list[float]:
        marks[-1].synchronize()
        return [before.elapsed_time(after) for before, after in pairwise(marks)]


def _clock(device: torch.device) -> Any:  # of either kind: its marks go back to itself alone
    return _CudaClock() if device.type == "cuda" else _HostClock()


def _checked_provider(choice: RuntimeChoice) -> str:
    there = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    if choice.provider not in there:
        why = f"provider {choice.provider} is not there; there are {', '.join(there)}"
        raise MeasurementFailed(choice.runtime, why)
    if choice.provider_options:
        raise MeasurementFailed(choice.runtime, f"provider {choice.provider} has no options")
    if choice.precision != "float32":
        raise MeasurementFailed(choice.runtime, f"{choice.precision} networks are run by onnxruntime alone")
    return choice.provider


def _prepare_compiling() -> None:
    """Finds out now whether there is a compiler; no helpers of torch's stay behind, where a network is timed."""
    from torch._inductor import config as inductor
    from torch._inductor.cpp_builder import get_cpp_compiler

    inductor.compile_threads = 1
    with _told_as_ours(COMPILED, "there is no compiler to compile with (install g++, or name one in CXX)"):
        get_cpp_compiler()


def _with_code_of_its_own(module: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """torch keeps what it compiled with the code that it compiled, tries one after the other, and gives up at eight."""

    def forward(images: Tensor) -> Tensor:
        return module(images)

    return FunctionType(forward.__code__.replace(), forward.__globals__, closure=forward.__closure__)


@contextmanager
def _told_as_ours(runtime: str, what: str) -> Iterator[None]:
    """torch raises errors of many kinds, some of them pages long: how they begin says what it was."""
    try:
        yield
    except Exception as error:
        why = " ".join(str(error).split())[:_ERROR_LIMIT] or type(error).__name__
        raise MeasurementFailed(runtime, f"{what}: {why}") from error
