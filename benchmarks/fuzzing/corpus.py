"""The files that mutations start from, all of them read: `python -m benchmarks.fuzzing.corpus FOLDER` writes them.

Only this needs torch: whoever reads has none.
"""

import io
import json
import sys
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from onnx import helper, numpy_helper
from PIL import Image
from safetensors.numpy import save as save_state
from torch import Tensor, nn

from adapt.formats.pt2 import read_pt2
from adapt.formats.safetensors_file import write_safetensors
from adapt.latency.conditions import Conditions
from adapt.latency.table import Entry, LookupTable
from benchmarks.fuzzing.raw import MOST_BYTES
from benchmarks.fuzzing.tables import FEATURES

_RNG = np.random.default_rng(0)


class Residual(nn.Module):
    """Batch norm, a depthwise convolution, a sum, a mean, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
        self.depthwise, self.point = nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.point(torch.relu(self.depthwise(x)))
        scores: Tensor = self.head(torch.flatten(x.mean((2, 3)), 1))
        return scores


class Branches(nn.Module):
    """Two branches joined and split again, pooling, a view by the batch's size, a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(4 * 16, 3)
        self.scale: Tensor
        self.register_buffer("scale", torch.tensor([0.5, 2.0, 1.0]).reshape(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.scale - 0.1
        first, second = torch.cat((self.left(x), torch.sigmoid(self.right(x))), 1).chunk(2, 1)
        x = self.pool(nn.functional.pad(first * second, (0, 0, 0, 0))).clamp(0, 6)
        scores: Tensor = self.head(x.view(x.size(0), -1))
        return scores


class Standardised(nn.Module):
    """A kernel that the network computes from its weights, as weight standardisation does."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.gain = nn.Parameter(torch.randn(6, 3, 3, 3)), nn.Parameter(torch.ones(6, 1, 1, 1))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.flatten(1)
        mean, deviation = flat.mean(1, keepdim=True), flat.std(1, keepdim=True)
        kernel = ((flat - mean) / (deviation + 1e-5)).view_as(self.weight) * self.gain
        x = nn.functional.relu(nn.functional.conv2d(x, kernel, padding=1))
        scores: Tensor = self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return scores


def write_corpus(folder: Path) -> None:
    """One folder a format below `folder`, a file a seed."""
    for kind, seeds in _seeds():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            if len(seed) > MOST_BYTES // 2:
                raise ValueError(f"seed {number} of {kind} has {len(seed)} bytes")
            (folder / kind / f"{number:02}").write_bytes(seed)


def _seeds() -> Iterator[tuple[str, list[bytes]]]:
    torch.manual_seed(0)
    networks = [Residual().eval(), Branches().eval(), Standardised().eval()]
    exported = [_pt2(network) for network in networks]
    yield "pt2", exported
    yield "onnx", [*(_onnx(network) for network in networks[:2]), _chosen_branch()]
    yield "safetensors", [*(_checkpoint(data) for data in exported), _state(networks[0])]
    yield "npz", [_npz(np.savez), _npz(np.savez_compressed, grey=True)]
    pictures = _pictures()
    yield "zip", [_zip(pictures), _zip({f"set/train/{name}": content for name, content in pictures.items()})]
    yield "tar", [_tar(pictures, tarfile.PAX_FORMAT), _tar(pictures, tarfile.GNU_FORMAT)]
    yield "packed-tar", [_tar(pictures, tarfile.USTAR_FORMAT)]
    yield "parquet", [_parquet(pictures)]
    yield "lookup-table", [_table().to_json().encode()]


def _pt2(network: nn.Module) -> bytes:
    images = (torch.zeros(2, 3, 8, 8),)
    program = torch.export.export(network, images, dynamic_shapes=({0: torch.export.Dim("batch")},))
    file = io.BytesIO()
    torch.export.save(program, file)
    with zipfile.ZipFile(file) as archive:  # without the samples and traces that make up most of it, and are not read
        kept = {
            info.filename: archive.read(info) for info in archive.infolist() if "sample_inputs" not in info.filename
        }
    for name in kept:
        if name.endswith("models/model.json"):
            kept[name] = _without_traces(kept[name])
    return _zip(kept)


def _without_traces(content: bytes) -> bytes:
    document = json.loads(content)
    for node in document["graph_module"]["graph"]["nodes"]:
        node["metadata"].pop("stack_trace", None)
    return json.dumps(document).encode()


def _onnx(network: nn.Module) -> bytes:
    names: dict[str, Any] = {"input_names": ["images"], "dynamic_axes": {"images": {0: "N"}}}
    with tempfile.NamedTemporaryFile() as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch, of its own exporter's age
        torch.onnx.export(network, (torch.zeros(2, 3, 8, 8),), file.name, dynamo=False, opset_version=17, **names)
        return Path(file.name).read_bytes()


def _chosen_branch() -> bytes:
    """Shapes computed by hand and an If that they decide, as exporters leave them."""
    kernel, matrix = _RNG.normal(size=(6, 3, 3, 3)), _RNG.normal(size=(6, 3))
    tensors = {"kernel": kernel.astype(np.float32), "matrix": matrix.astype(np.float32), "two": np.array(2)}
    branch = helper.make_graph([helper.make_node("Identity", ["p"], ["t"])], "then", [], [_info("t")])
    other = helper.make_graph([helper.make_node("Relu", ["p"], ["e"])], "else", [], [_info("e")])
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["c"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Shape", ["p"], ["s"]),
        helper.make_node("Gather", ["s", "two"], ["size"]),
        helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.array(1))),
        helper.make_node("Equal", ["size", "one"], ["is_one"]),
        helper.make_node("If", ["is_one"], ["q"], then_branch=branch, else_branch=other),
        helper.make_node("Flatten", ["q"], ["f"]),
        helper.make_node("MatMul", ["f", "matrix"], ["y"]),
    ]
    stored = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = helper.make_graph(nodes, "g", [_info("x", ["N", 3, 8, 8])], [_info("y", ["N", 3])], initializer=stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _info(name: str, shape: list[Any] | None = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def _checkpoint(exported: bytes) -> bytes:
    with tempfile.NamedTemporaryFile() as file:
        file.write(exported)
        file.flush()
        return write_safetensors(read_pt2(Path(file.name)))


def _state(network: nn.Module) -> bytes:
    return bytes(save_state({name: tensor.numpy() for name, tensor in network.state_dict().items()}))


def _npz(save: Any, *, grey: bool = False) -> bytes:
    images, labels = _RNG.integers(0, 255, (24, 5, 5) if grey else (24, 4, 4, 3), dtype=np.uint8), np.arange(24) % 3
    file = io.BytesIO()
    more = {} if grey else {"x_test": images[:6], "y_test": labels[:6].astype(np.uint8)}
    save(file, x_train=images, y_train=labels, **more)
    return file.getvalue()


def _pictures() -> dict[str, bytes]:
    kinds = ("PNG", "JPEG", "GIF", "BMP", "PNG", "TIFF", "PPM", "WEBP")
    return {f"{name}/{n}.{kind.lower()}": _picture(kind, n) for name in ("cat", "dog") for n, kind in enumerate(kinds)}


def _picture(kind: str, number: int) -> bytes:
    picture = Image.fromarray(_RNG.integers(0, 255, (7 + number % 2, 8, 3), dtype=np.uint8))
    file = io.BytesIO()
    (picture.convert("P") if number == 4 else picture).save(file, kind)
    return file.getvalue()


def _zip(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def _tar(files: dict[str, bytes], form: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def _parquet(pictures: dict[str, bytes]) -> bytes:
    images = [{"bytes": content, "path": name} for name, content in pictures.items()]
    table = pa.table({"image": pa.array(images), "label": pa.array([int(name[0] == "d") for name in pictures])})
    file = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(FEATURES)}), file)
    return file.getvalue()


def _table() -> LookupTable:
    conditions = Conditions(
        runtime="onnxruntime",
        runtime_version="1",
        provider="CPUExecutionProvider",
        precision="float32",
        threads=1,
        batch=1,
        cpu="a processor",
        instruction_set="x86_64",
    )
    rows = (("conv1x1s1+relu6", "16x8x8>96x8x8/16"), ("linear", "16>10/16"), ("overhead", "1>1"))
    entries = tuple(Entry(operator=name, shape=shape, ms=0.5, count=3, spread=0.02) for name, shape in rows)
    return LookupTable(entries=entries, calibration=1.0, conditions=conditions)


if __name__ == "__main__":
    write_corpus(Path(sys.argv[1]))
