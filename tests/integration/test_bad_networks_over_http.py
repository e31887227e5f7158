"""What is no network that we can take, over real HTTP: a problem says what was wrong and what to do, nothing stays."""

import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from adapt.checkpoint import read_network, write_safetensors
from adapt.formats.onnx_writer import write_onnx
from adapt.formats.pt2_graph import MAX_NODES
from adapt.graph.network import Network
from app.tables import BlobRow, ModelRow, TaskRow
from tests.live_api import LiveApi, live_api
from tests.pt2_files import (
    CONFIG,
    MODEL,
    Small,
    edited,
    entries,
    node_of,
    saved,
    small_pt2,
    with_entry,
    zipped,
)

pytestmark = pytest.mark.databases("sqlite")  # its point is no SQL


@pytest.fixture(scope="module")
def api(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("service"), database_url=database_url) as running:
        yield running


class Wide(nn.Module):
    """A few kilobytes of weights; one image of it takes 120 GB."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(nn.functional.pad(x, (50_000,) * 4)).mean((2, 3)))


def wide_pt2() -> bytes:
    return saved(torch.export.export(Wide().eval(), (torch.zeros(1, 3, 8, 8),)))


def wide(write: Callable[[Network], bytes], folder: Path) -> bytes:
    path = folder / "wide.pt2"
    path.write_bytes(wide_pt2())
    return write(read_network(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def torch_saved(**how: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(Small().state_dict(), buffer, **how)
    return buffer.getvalue()


def torchscript() -> bytes:
    buffer = io.BytesIO()
    names = {"net/code/__torch__.py": b"", "net/data.pkl": b"", "net/constants.pkl": b""}
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def many_nodes() -> bytes:
    def grow(document: dict) -> None:
        nodes = document["graph_module"]["graph"]["nodes"]
        nodes[1:1] = [{"target": "torch.ops.aten.relu.default"}] * (MAX_NODES + 1)

    return edited(small_pt2(), model=grow)


def described(**changed: object) -> bytes:
    return edited(small_pt2(), config=lambda document: document["config"]["head.bias"]["tensor_meta"].update(changed))


def weight_entry(name: str) -> str:
    return "data/weights/" + json.loads(entries(small_pt2())[CONFIG])["config"][name]["path_name"]


FORMAT = 415, "format-refused"
NETWORK = 422, "network-refused"
OPERATOR = 422, "unsupported-operator"

BAD: dict[str, tuple[Callable[[Path], bytes], tuple[int, str], tuple[str, ...]]] = {
    "an empty file": (lambda _: b"", FORMAT, ("empty", "torch.export.save")),
    "a .pth": (lambda _: torch_saved(), FORMAT, ("pickle", "torch.export.save", "safetensors.torch.save_file")),
    "a .pth of long ago": (
        lambda _: torch_saved(_use_new_zipfile_serialization=False),
        FORMAT,
        ("pickle", "torch.export.save", "safetensors.torch.save_file"),
    ),
    "TorchScript": (lambda _: torchscript(), FORMAT, ("TorchScript", "torch.export.save")),
    "Keras, .h5": (lambda _: b"\x89HDF\r\n\x1a\n" + bytes(99), FORMAT, ("HDF5", "tf2onnx")),
    "Keras, .keras": (
        lambda _: zipped({"config.json": b"{}", "metadata.json": b"{}", "model.weights.h5": b"x"}, root=""),
        FORMAT,
        ("Keras", "tf2onnx"),
    ),
    "a SavedModel, zipped": (lambda _: zipped({"saved_model.pb": b"x"}), FORMAT, ("SavedModel", "tf2onnx")),
    "TensorFlow Lite": (lambda _: b"\x1c\0\0\0TFL3" + bytes(99), FORMAT, ("TensorFlow Lite",)),
    "a folder, zipped": (
        lambda _: zipped({"model/net.pt2": small_pt2()}, root="", compression=zipfile.ZIP_DEFLATED),
        FORMAT,
        ("around 'model/net.pt2'", "unpack"),
    ),
    "gzip": (lambda _: b"\x1f\x8b\x08" + bytes(50), FORMAT, ("gzip", "unpack")),
    "a web page": (lambda _: b"\n<!DOCTYPE html><html><body>Sign in</body></html>", FORMAT, ("web page",)),
    "a Git LFS pointer": (
        lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        FORMAT,
        ("Git LFS", "git lfs pull"),
    ),
    "weights alone": (
        lambda _: struct.pack("<Q", 2) + b"{}",
        FORMAT,
        ("weights without a network", "architecture", ".pt2"),
    ),
    "a compressed .pt2": (
        lambda _: zipped(entries(small_pt2()), compression=zipfile.ZIP_DEFLATED),
        NETWORK,
        ("compressed", "torch.export.save"),
    ),
    "a path that leads out": (lambda _: with_entry(small_pt2(), "../../evil", b""), NETWORK, ("net/../../evil",)),
    "JSON 10^5 deep": (
        lambda _: with_entry(small_pt2(), MODEL, b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        NETWORK,
        (MODEL, "deep"),
    ),
    "many nodes": (lambda _: many_nodes(), NETWORK, (MODEL, f"{MAX_NODES} are allowed")),
    "40 MiB of JSON": (lambda _: with_entry(small_pt2(), MODEL, b" " * (40 << 20)), NETWORK, (MODEL, "are allowed")),
    "a million lists": (
        lambda _: with_entry(small_pt2(), MODEL, b'{"a": [' + b"[]," * 1_000_000 + b"0]}"),
        NETWORK,
        (MODEL, "schema_version"),
    ),
    "10^12 elements": (
        lambda _: described(sizes=[{"as_int": 10**6}] * 2, strides=[{"as_int": 10**6}, {"as_int": 1}]),
        NETWORK,
        ("head.bias", "elements"),
    ),
    "a missing weight": (
        lambda _: with_entry(small_pt2(), weight_entry("head.bias"), None),
        NETWORK,
        (weight_entry("head.bias"), "missing"),
    ),
    "a short weight": (lambda _: with_entry(small_pt2(), weight_entry("head.bias"), b"1234"), NETWORK, ("head.bias",)),
    "another type": (lambda _: described(dtype=8), NETWORK, ("head.bias", "16 bytes")),
    "another operator": (
        lambda _: edited(
            small_pt2(), model=lambda d: node_of(d, "relu.default").update(target="torch.ops.aten.from_file.default")
        ),
        OPERATOR,
        ("aten.from_file.default",),
    ),
    "120 GB for one image, .pt2": (lambda _: wide_pt2(), NETWORK, ("pad", "16384 MiB are allowed", "100008")),
    "120 GB for one image, .onnx": (
        lambda folder: wide(write_onnx, folder),
        NETWORK,
        ("pad", "16384 MiB are allowed", "100008"),
    ),
    "120 GB for one image, .safetensors": (
        lambda folder: wide(write_safetensors, folder),
        NETWORK,
        ("pad", "16384 MiB are allowed", "100008"),
    ),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_a_bad_upload_is_a_problem_that_says_what_to_do_and_leaves_nothing(
    case: str, api: LiveApi, folder: Path
) -> None:
    make, (status, slug), says = BAD[case]
    before = left_behind(api)
    answer = api.client.post("/v1/models", files={"file": ("net.pt2", make(folder))}, timeout=120)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (status, f"urn:netadapt:problem:{slug}"), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert [said for said in says if said not in problem["detail"]] == [], problem["detail"]
    assert left_behind(api) == before


def left_behind(api: LiveApi) -> tuple[list[int], list[Path]]:
    with api.services.sessions() as session:
        return [session.query(table).count() for table in (ModelRow, BlobRow, TaskRow)], api.stored_files()
