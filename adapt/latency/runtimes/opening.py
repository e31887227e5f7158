"""A runtime by its name. Each is imported when it is asked for: an agent has no torch."""

from typing import get_args

from adapt.errors import MeasurementFailed
from adapt.latency.runtimes.choice import RuntimeChoice, RuntimeName
from adapt.latency.runtimes.contract import Runtime

RUNTIMES: tuple[RuntimeName, ...] = get_args(RuntimeName)


def open_runtime(choice: RuntimeChoice) -> Runtime:
    """Raises MeasurementFailed for a runtime, provider or provider option that there is not here."""
    if choice.runtime not in RUNTIMES:
        raise MeasurementFailed(choice.runtime, f"no such runtime is known; there are {', '.join(RUNTIMES)}")
    try:
        if choice.runtime == "onnxruntime":
            from adapt.latency.runtimes.onnxruntime import OnnxRuntime

            return OnnxRuntime(choice)
        from adapt.latency.runtimes.torch import TorchRuntime

        return TorchRuntime(choice)
    except ModuleNotFoundError as error:
        raise MeasurementFailed(choice.runtime, f"is not installed here: {error}") from error
