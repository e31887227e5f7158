"""onnxruntime, with whatever execution provider it has."""

import json
import logging
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from adapt.errors import MeasurementFailed
from adapt.latency.conditions import Conditions, conditions_here
from adapt.latency.intervals import quick_runs_mean
from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.latency.runtimes.contract import Kernel

log = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"
BATCH_NAME = "N"  # of the dimension, in the files that we write
_ERRORS_ONLY = 3
_WARM_UP = 3
_KERNEL_SUFFIX = "_kernel_time"
_ONE_THREAD = RuntimeChoice()


class OnnxRuntime:
    """One network at a time, its operators one after the other. Images come from the host and scores go back there."""

    def __init__(self, choice: RuntimeChoice = _ONE_THREAD) -> None:
        """Raises MeasurementFailed for a provider that this build of onnxruntime lacks."""
        available = onnxruntime.get_available_providers()
        if choice.provider not in available:
            raise _failed(f"provider {choice.provider} is not installed; there are {', '.join(available)}")
        if choice.threads < 1 or choice.batch < 1:
            raise ValueError(f"threads {choice.threads} and batch {choice.batch} must be at least 1")
        self._looked_where_it_runs = choice.provider == CPU
        self.conditions = conditions_here(choice, onnxruntime.__version__, _accelerators(choice.provider))

    def load(self, file: bytes) -> "OnnxSession":
        """Raises MeasurementFailed when onnxruntime refuses the network, or runs none of it on the provider."""
        if not self._looked_where_it_runs:
            self.profile(file, 1)  # raises where nothing runs on it; once is enough, the next are pruned versions
            self._looked_where_it_runs = True
        return OnnxSession(file, self.conditions, self._options())

    def profile(self, file: bytes, repeats: int) -> Sequence[Kernel]:
        """Mean milliseconds per kernel, in order of execution, with onnxruntime's own profiler.

        The profiler counts whole microseconds and adds about one to each kernel: means over many runs resolve the
        first, the caller must allow for the second. Raises MeasurementFailed when all ran on another provider.
        """
        with tempfile.TemporaryDirectory(prefix="netadapt-profile-") as folder:
            options = self._options()
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            session = OnnxSession(file, self.conditions, options)
            session.time_ms(repeats)
            events = json.loads(Path(session.end_profiling()).read_text())
            session.close()
        events = [event for event in events if _is_kernel(event)]
        _check_placement(events, self.conditions.provider)
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
        if self.conditions.provider != CPU:  # most others take only shapes that are known beforehand
            options.add_free_dimension_override_by_name(BATCH_NAME, self.conditions.batch)
        return options


class OnnxSession:
    """Warmed up when made."""

    def __init__(self, file: bytes, conditions: Conditions, options: Any) -> None:
        """Never falls back to another provider. Raises MeasurementFailed."""
        asked = (conditions.provider, dict(conditions.provider_options))
        try:
            self._session: Any = onnxruntime.InferenceSession(file, options, providers=[asked], enable_fallback=0)
        except Exception as error:  # onnxruntime raises several kinds, none of them documented
            with_options = f" (with options {asked[1]})" if asked[1] else ""
            raise _failed(f"the network was refused by {conditions.provider}{with_options}: {error}") from error
        self._check_provider(conditions)
        (only_input,) = self._session.get_inputs()
        shape = (conditions.batch, *only_input.shape[1:])
        self._feed = {only_input.name: np.random.default_rng(0).random(shape, dtype=np.float32)}
        self.time_ms(_WARM_UP)

    def time_ms(self, repeats: int) -> list[float]:
        """Milliseconds of each run, copies to and from an accelerator included. Raises MeasurementFailed."""
        run, feed, clock = self._session.run, self._feed, time.perf_counter_ns
        times = []
        try:
            for _ in range(repeats):
                started = clock()
                run(None, feed)
                times.append((clock() - started) / 1e6)
        except Exception as error:
            raise _failed(f"a run failed: {error}") from error
        return times

    def end_profiling(self) -> str:
        """The path of the profile, where the options asked for one."""
        return str(self._session.end_profiling())

    def close(self) -> None:
        self._session = None

    def _check_provider(self, conditions: Conditions) -> None:
        """A provider that could not be set up is left out without an error; so are options that it does not know."""
        there = self._session.get_providers()
        if conditions.provider not in there:
            raise _failed(f"provider {conditions.provider} could not be set up; there would run {', '.join(there)}")
        known = self._session.get_provider_options().get(conditions.provider, {})
        unknown = sorted(set(conditions.provider_options) - set(known))
        # Some providers do not say which options they have: those are asked about theirs when the session is made.
        if unknown and (known or conditions.provider == CPU):
            has = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise _failed(f"provider {conditions.provider} has no option {', '.join(unknown)}; {has}")


def _failed(why: str) -> MeasurementFailed:
    return MeasurementFailed("onnxruntime", why)


def _accelerators(provider: str) -> list[str]:
    """What the provider runs on beside the processor, as far as onnxruntime knows."""
    found = [device.device for device in onnxruntime.get_ep_devices() if device.ep_name == provider]
    return sorted(
        f"{device.vendor or hex(device.vendor_id)} {device.type.name} {device.device_id:#x}"
        for device in found
        if device.type != onnxruntime.OrtHardwareDeviceType.CPU
    )


def _is_kernel(event: dict[str, Any]) -> bool:
    return event.get("cat") == "Node" and event["name"].endswith(_KERNEL_SUFFIX)


def _check_placement(events: Sequence[dict[str, Any]], provider: str) -> None:
    """What a provider cannot run onnxruntime gives to the processor: that is said, and all of it is an error."""
    elsewhere = Counter(event["args"]["op_name"] for event in events if event["args"]["provider"] != provider)
    if not elsewhere:
        return
    if elsewhere.total() == len(events):
        raise _failed(f"nothing of the network ran on {provider}, all of it on {events[0]['args']['provider']}")
    log.warning("not run on %s, which lacks them: %s", provider, ", ".join(sorted(elsewhere)))


def _kernels(events: Sequence[dict[str, Any]], repeats: int) -> list[Kernel]:
    """Keeps the last `repeats` runs; within them a kernel is known by its name and place in the graph."""
    times: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for event in events:
        name, arguments = event["name"].removesuffix(_KERNEL_SUFFIX), event["args"]
        times[name, arguments["op_name"], arguments["node_index"]].append(event["dur"] / 1000)
    if not times:
        return []
    means = quick_runs_mean([durations[-repeats:] for durations in times.values()])
    return [Kernel(name=name, operator=operator, ms=ms) for (name, operator, _), ms in zip(times, means, strict=True)]
