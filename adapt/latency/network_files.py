"""The file of a network that a device runs, which is byte for byte the file that is offered for download."""

from adapt.data.calibration import CalibrationImages
from adapt.formats.onnx_int8 import QuantizedVariants, write_onnx_int8
from adapt.formats.onnx_writer import write_onnx
from adapt.formats.safetensors_file import write_safetensors
from adapt.graph.network import Network
from adapt.latency.conditions import Conditions
from adapt.latency.runtimes.choice import NetworkFile

_REMEMBERED = 3  # the original, which is every measurement's reference, the network at hand, and the last one


class NetworkFiles:
    """Files of one kind, which name the `conditions` under which they are measured.

    `images` [n, C, H, W] float32 as the network takes them: the ranges of an int8 file's activations come from them.
    """

    def __init__(self, *, kind: NetworkFile, conditions: Conditions, images: CalibrationImages | None = None) -> None:
        self.kind = kind
        self._conditions = conditions
        self._images = images
        self._written: list[tuple[Network, bytes]] = []  # the latest used comes last
        self._variants: QuantizedVariants | None = None

    def write(self, network: Network) -> bytes:
        """The same network gives the same bytes. Raises ValueError for an int8 file without `images`."""
        file = next((file for known, file in self._written if known is network), None)
        if file is None:
            file = self._write(network)
        others = [pair for pair in self._written if pair[0] is not network]
        self._written = [*others[1 - _REMEMBERED :], (network, file)]
        return file

    def write_variant(self, network: Network) -> bytes:
        """For timing alone: `network` has random weights, and is a pruned version of the one that was written first.

        An int8 file's ranges mean nothing then, and need no images.
        """
        if self.kind != "onnx-int8":
            return self._write(network)
        if self._variants is None or self._variants.nodes is not network.graph.nodes:
            self._variants = QuantizedVariants(network, reduce_range=_reduces_range(self._conditions))
        return self._variants.write(network)

    def _write(self, network: Network) -> bytes:
        about = metadata(self._conditions)
        if self.kind == "onnx":
            return write_onnx(network, metadata=about)
        if self.kind == "safetensors":
            return write_safetensors(network, about={"measured": about})
        if self._images is None:
            raise ValueError("an int8 file needs images to take the ranges of its activations from")
        return write_onnx_int8(network, self._images, reduce_range=_reduces_range(self._conditions), metadata=about)


def metadata(conditions: Conditions) -> dict[str, str]:
    """What the file says of its measurement: texts, in a fixed order."""
    return {
        "netadapt.runtime": f"{conditions.runtime} {conditions.runtime_version}",
        "netadapt.provider": conditions.provider,
        "netadapt.threads": str(conditions.threads),
        "netadapt.batch": str(conditions.batch),
        "netadapt.precision": conditions.precision,
    }


def _reduces_range(conditions: Conditions) -> bool:
    """On x86 processors without VNNI 8-bit products overflow where they are added in pairs."""
    return conditions.instruction_set.startswith("x86") and "vnni" not in conditions.instruction_set
