"""What a target runs networks with, as it is asked for: a runtime's name, what runs its kernels, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

RuntimeName = Literal["onnxruntime", "torch", "torch-compile"]
"""Those of ours; installed packages add further ones (adapt.plugins)."""
Precision = Literal["float32", "int8"]
PROVIDERS_OF_TORCH = ("cpu", "cuda")
MAX_THREADS, MAX_BATCH = 256, 1024
NetworkFile = Literal["onnx", "onnx-int8", "safetensors"]
"""What is handed to a runtime; the same bytes are offered for download."""


def usual_provider(runtime: str) -> str:
    """The processor."""
    return "CPUExecutionProvider" if runtime == "onnxruntime" else "cpu"


@dataclass(frozen=True, kw_only=True)
class RuntimeChoice:
    """`runtime` is a RuntimeName, or what an installed package calls its own. `provider` is an execution provider of
    onnxruntime, the device of torch ("cpu", "cuda"), or what another runtime makes of it, `provider_options` its
    settings as texts. `threads` is of one network's operators, `batch` the images of one run."""

    runtime: str = "onnxruntime"
    provider: str = "CPUExecutionProvider"
    provider_options: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    batch: int = 1
    precision: Precision = "float32"

    @property
    def loading_s(self) -> float:
        """How long a network may take until it is ready to run, on a machine under load. Most accelerators compile."""
        compiles = self.runtime not in ("onnxruntime", "torch")  # one that another package adds may do so
        return 900.0 if compiles or self.provider not in (usual_provider(self.runtime), "cuda") else 60.0

    @property
    def file(self) -> NetworkFile:
        """What this runtime reads; one that another package adds is given onnx."""
        if self.runtime in ("torch", "torch-compile"):
            return "safetensors"
        return "onnx-int8" if self.precision == "int8" else "onnx"
