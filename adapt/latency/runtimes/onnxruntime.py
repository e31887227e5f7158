"""onnxruntime, with whatever execution provider it has."""

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from adapt.errors import MeasurementFailed
from adapt.latency.conditions import Conditions, cpu_model, instruction_set, read_cpu_info
from adapt.latency.intervals import quick_runs_mean
from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.latency.runtimes.contract import Kernel

_ERRORS_ONLY = 3
_WARM_UP = 3
_KERNEL_SUFFIX = "_kernel_time"
_ONE_THREAD = RuntimeChoice()


class OnnxRuntime:
    """One network at a time, its operators one after the other."""

    def __init__(self, choice: RuntimeChoice = _ONE_THREAD) -> None:
        """Raises MeasurementFailed for a provider that this build of onnxruntime lacks."""
        available = onnxruntime.get_available_providers()
        if choice.provider not in available:
            raise MeasurementFailed(
                "onnxruntime", f"provider {choice.provider} is not installed; there are {available}"
            )
        if choice.threads < 1 or choice.batch < 1:
            raise ValueError(f"threads {choice.threads} and batch {choice.batch} must be at least 1")
        cpu_info = read_cpu_info()
        self.conditions = Conditions(
            runtime="onnxruntime",
            runtime_version=onnxruntime.__version__,
            provider=choice.provider,
            provider_options=choice.provider_options,
            threads=choice.threads,
            batch=choice.batch,
            precision=choice.precision,
            cpu=cpu_model(cpu_info),
            instruction_set=instruction_set(cpu_info),
        )

    def load(self, onnx: bytes) -> "OnnxSession":
        """Raises MeasurementFailed when onnxruntime refuses the network."""
        return OnnxSession(onnx, self.conditions, self._options())

    def profile(self, onnx: bytes, repeats: int) -> Sequence[Kernel]:
        """Mean milliseconds per kernel, in order of execution, with onnxruntime's own profiler.

        The profiler counts whole microseconds and adds about one to each kernel: means over many runs resolve the
        first, the caller must allow for the second.
        """
        with tempfile.TemporaryDirectory(prefix="netadapt-profile-") as folder:
            options = self._options()
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            session = OnnxSession(onnx, self.conditions, options)
            session.time_ms(repeats)
            events = json.loads(Path(session.end_profiling()).read_text())
            session.close()
        return _kernels(events, repeats)

    def _options(self) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.conditions.threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = _ERRORS_ONLY
        # Threads of a session that waits would spin on the cores that the other session of a pair is timed on.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options


class OnnxSession:
    """Warmed up when made."""

    def __init__(self, onnx: bytes, conditions: Conditions, options: Any) -> None:
        try:
            self._session: Any = onnxruntime.InferenceSession(
                onnx, options, providers=[(conditions.provider, dict(conditions.provider_options))]
            )
        except Exception as error:  # onnxruntime raises several kinds, none of them documented
            raise MeasurementFailed("onnxruntime", f"the network was refused: {error}") from error
        (only_input,) = self._session.get_inputs()
        shape = (conditions.batch, *only_input.shape[1:])
        self._feed = {only_input.name: np.random.default_rng(0).random(shape, dtype=np.float32)}
        self.time_ms(_WARM_UP)

    def time_ms(self, repeats: int) -> list[float]:
        """Milliseconds of each run. Raises MeasurementFailed when onnxruntime fails in one."""
        run, feed, clock = self._session.run, self._feed, time.perf_counter_ns
        times = []
        try:
            for _ in range(repeats):
                started = clock()
                run(None, feed)
                times.append((clock() - started) / 1e6)
        except Exception as error:
            raise MeasurementFailed("onnxruntime", f"a run failed: {error}") from error
        return times

    def end_profiling(self) -> str:
        """The path of the profile, where the options asked for one."""
        return str(self._session.end_profiling())

    def close(self) -> None:
        self._session = None


def _kernels(events: Sequence[dict[str, Any]], repeats: int) -> list[Kernel]:
    """Keeps the last `repeats` runs; within them a kernel is known by its name and place in the graph."""
    times: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for event in events:
        arguments = event.get("args", {})
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL_SUFFIX):
            name = event["name"].removesuffix(_KERNEL_SUFFIX)
            times[name, arguments["op_name"], arguments["node_index"]].append(event["dur"] / 1000)
    if not times:
        return []
    means = quick_runs_mean([durations[-repeats:] for durations in times.values()])
    return [Kernel(name=name, operator=operator, ms=ms) for (name, operator, _), ms in zip(times, means, strict=True)]
