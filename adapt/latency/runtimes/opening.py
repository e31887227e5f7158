"""A runtime by its name. Each is imported when it is asked for: an agent has no torch."""

from adapt.errors import MeasurementFailed, PluginAbsent, PluginFailed
from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.latency.runtimes.contract import Runtime
from adapt.plugins import load_plugin


def open_runtime(choice: RuntimeChoice) -> Runtime:
    """Ours, or one that an installed package adds.

    Raises MeasurementFailed for a runtime, provider or provider option that there is not here.
    """
    try:
        if choice.runtime == "onnxruntime":
            from adapt.latency.runtimes.onnxruntime import OnnxRuntime

            return OnnxRuntime(choice)
        if choice.runtime in ("torch", "torch-compile"):
            from adapt.latency.runtimes.torch import TorchRuntime

            return TorchRuntime(choice)
    except ModuleNotFoundError as error:
        raise MeasurementFailed(choice.runtime, f"is not installed here: {error}") from error
    return _opened_plugin(choice)


def _opened_plugin(choice: RuntimeChoice) -> Runtime:
    from adapt.latency.runtimes.added import AddedRuntime

    try:
        return AddedRuntime(load_plugin("runtime", choice.runtime), choice)
    except (PluginAbsent, PluginFailed) as error:
        raise MeasurementFailed(choice.runtime, str(error)) from error
