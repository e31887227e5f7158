"""A network's three files, written once and stored; a checkpoint is its row."""

from collections.abc import Callable, Mapping

from adapt.checkpoint import write_safetensors
from adapt.export import write_pt2
from adapt.formats.onnx_writer import write_onnx
from adapt.graph.network import Network
from adapt.latency.runtimes.choice import NetworkFile
from app.jobs.records import CheckpointFile
from app.records import FileFormat
from app.storage import Storage

MeasuredFiles = Callable[[Network], Mapping[NetworkFile, bytes]]


def none_measured(network: Network) -> Mapping[NetworkFile, bytes]:
    """Of a search without a clock."""
    return {}


def store_files(network: Network, measured: Mapping[NetworkFile, bytes], storage: Storage) -> list[CheckpointFile]:
    """Stores the network as ONNX, .pt2 and safetensors; the same bytes are served whenever they are asked for.

    What was `measured` is what is stored.
    """
    written: dict[FileFormat, bytes] = {
        "onnx": write_onnx(network),
        "pt2": write_pt2(network),
        "safetensors": write_safetensors(network),
    }
    written |= dict(measured.items())
    files = []
    for format_, content in written.items():
        blob = storage.put(content)
        files.append(CheckpointFile(format=format_, bytes=blob.bytes, sha256=blob.sha256))
    return files
