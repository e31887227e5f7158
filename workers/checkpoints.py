"""A network's files, written once and stored; a checkpoint is its row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from adapt.checkpoint import write_safetensors
from adapt.export import write_pt2
from adapt.formats.onnx_writer import write_onnx
from adapt.graph.network import Network
from adapt.latency.meters import DeviceMeter
from adapt.latency.runtimes.choice import NetworkFile
from adapt.search import Job
from app.jobs.records import CheckpointFile
from app.records import FileFormat
from app.storage import Storage


@dataclass(frozen=True, kw_only=True)
class MeasuredFile:
    """`accuracy` on the test set, where the file computes otherwise than its network."""

    content: bytes
    accuracy: float | None = None


MeasuredFiles = Callable[[Network], Mapping[NetworkFile, MeasuredFile]]


def none_measured(network: Network) -> Mapping[NetworkFile, MeasuredFile]:
    """Of a search without a clock."""
    return {}


def measured_by(search: Job) -> MeasuredFiles:
    """What the search's meter measures; a quantised file is scored too, for the report alone."""

    def files(network: Network) -> Mapping[NetworkFile, MeasuredFile]:
        meter = search.meters.get("latency_ms")
        written = meter.write(network) if isinstance(meter, DeviceMeter) else {}  # a table measures nothing
        return {kind: MeasuredFile(content=file, accuracy=accuracy(kind, file)) for kind, file in written.items()}

    def accuracy(kind: NetworkFile, file: bytes) -> float | None:
        return search.trainer.test_onnx(file).accuracy if kind == "onnx-int8" else None

    return files


def store_files(
    network: Network, measured: Mapping[NetworkFile, MeasuredFile], storage: Storage
) -> list[CheckpointFile]:
    """Stores the network as ONNX, .pt2, safetensors, and in what else is measured; the same bytes are served whenever
    they are asked for.

    What was `measured` is what is stored.
    """
    written: dict[FileFormat, bytes] = {
        "onnx": write_onnx(network),
        "pt2": write_pt2(network),
        "safetensors": write_safetensors(network),
    }
    written |= {kind: file.content for kind, file in measured.items()}
    accuracies: dict[FileFormat, float | None] = {kind: file.accuracy for kind, file in measured.items()}
    files = []
    for format_, content in written.items():
        blob = storage.put(content)
        accuracy = accuracies.get(format_)
        files.append(CheckpointFile(format=format_, bytes=blob.bytes, sha256=blob.sha256, accuracy=accuracy))
    return files
