"""The file of a network that a device runs, which is byte for byte the file that is offered for download."""

from dataclasses import dataclass

from adapt.errors import MeasurementFailed
from adapt.formats.onnx_writer import write_onnx
from adapt.graph.network import Network
from adapt.latency.conditions import Conditions
from adapt.latency.runtimes.choice import NetworkFile


@dataclass(frozen=True, kw_only=True)
class NetworkFiles:
    """Files of one kind, whose metadata name the `conditions` under which they are measured."""

    kind: NetworkFile
    conditions: Conditions

    def write(self, network: Network) -> bytes:
        """The same network gives the same bytes."""
        if self.kind != "onnx":
            raise MeasurementFailed(self.conditions.runtime, f"{self.kind} files are not written yet")
        return write_onnx(network, metadata=metadata(self.conditions))


def metadata(conditions: Conditions) -> dict[str, str]:
    """What the file says of its measurement: texts, in a fixed order."""
    return {
        "netadapt.runtime": f"{conditions.runtime} {conditions.runtime_version}",
        "netadapt.provider": conditions.provider,
        "netadapt.threads": str(conditions.threads),
        "netadapt.batch": str(conditions.batch),
        "netadapt.precision": conditions.precision,
    }
