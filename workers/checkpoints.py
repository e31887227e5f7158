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
class WrittenFile:
    """`accuracy` on the test set, where the file computes otherwise than its network."""

    content: bytes
    accuracy: float | None = None


MeasuredFiles = Callable[[Network], Mapping[NetworkFile, WrittenFile]]


def none_measured(network: Network) -> Mapping[NetworkFile, WrittenFile]:
    """Of a search without a clock."""
    return {}


def measured_by(search: Job) -> MeasuredFiles:
    """What the search's meter measures; a quantised file is scored too, for the report alone."""

    def files(network: Network) -> Mapping[NetworkFile, WrittenFile]:
        meter = search.meters.get("latency_ms")
        written = meter.write(network) if isinstance(meter, DeviceMeter) else {}  # a table measures nothing
        return {kind: WrittenFile(content=file, accuracy=accuracy(kind, file)) for kind, file in written.items()}

    def accuracy(kind: NetworkFile, file: bytes) -> float | None:
        return search.trainer.test_onnx(file).accuracy if kind == "onnx-int8" else None

    return files


def store_files(
    network: Network, measured: Mapping[NetworkFile, WrittenFile], storage: Storage
) -> list[CheckpointFile]:
    """Stores the network as ONNX, .pt2 and safetensors, and as what was `measured`: of that kind it is the very file.

    The same bytes are served whenever they are asked for.
    """
    written: dict[FileFormat, WrittenFile] = {
        "onnx": WrittenFile(content=write_onnx(network)),
        "pt2": WrittenFile(content=write_pt2(network)),
        "safetensors": WrittenFile(content=write_safetensors(network)),
    }
    return [_store(kind, file, storage) for kind, file in (written | dict(measured)).items()]


def _store(kind: FileFormat, file: WrittenFile, storage: Storage) -> CheckpointFile:
    blob = storage.put(file.content)
    return CheckpointFile(format=kind, bytes=blob.bytes, sha256=blob.sha256, accuracy=file.accuracy)
