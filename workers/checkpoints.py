"""A network's three files, written once and stored; a checkpoint is its row."""

from adapt.checkpoint import write_safetensors
from adapt.export import write_pt2
from adapt.formats.onnx_writer import write_onnx
from adapt.graph.network import Network
from app.jobs.records import CheckpointFile
from app.records import FileFormat
from app.storage import Storage


def store_files(network: Network, storage: Storage) -> list[CheckpointFile]:
    """Stores the network as ONNX, .pt2 and safetensors; the same bytes are served whenever they are asked for."""
    written: dict[FileFormat, bytes] = {
        "onnx": write_onnx(network),
        "pt2": write_pt2(network),
        "safetensors": write_safetensors(network),
    }
    files = []
    for format_, content in written.items():
        blob = storage.put(content)
        files.append(CheckpointFile(format=format_, bytes=blob.bytes, sha256=blob.sha256))
    return files
