"""A runtime by its name. Each is imported when it is asked for: an agent has no torch."""

from adapt.errors import MeasurementFailed
from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.latency.runtimes.contract import Runtime

RUNTIMES = ("onnxruntime",)


def open_runtime(choice: RuntimeChoice) -> Runtime:
    """Raises MeasurementFailed for a runtime or provider that is not installed here."""
    if choice.runtime == "onnxruntime":
        from adapt.latency.runtimes.onnxruntime import OnnxRuntime

        return OnnxRuntime(choice)
    raise MeasurementFailed(choice.runtime, f"no such runtime is known; there are {', '.join(RUNTIMES)}")
