"""A checkpoint of ours that somebody changed is a stranger's file: every place of it is checked."""

import contextlib
import copy
import json
import random
import struct
from pathlib import Path

import numpy as np
import pytest

from adapt.checkpoint import read_about, read_graph, read_network, write_safetensors
from adapt.errors import AdaptError, FormatRefused, NetworkRefused, UnsupportedOperator
from adapt.formats.safetensors_file import METADATA_KEY, write_safetensors_file
from adapt.graph.costs import costs
from adapt.graph.network import Network
from tests.pt2_files import small_pt2


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Network:
    path = tmp_path_factory.mktemp("small") / "net.pt2"
    path.write_bytes(small_pt2())
    return read_network(path)


def taken_apart(data: bytes) -> tuple[dict, dict, bytes]:
    """Header without its metadata, the architecture document, the tensors' bytes."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    return header, json.loads(header.pop("__metadata__")[METADATA_KEY]), data[8 + length :]


def put_together(header: dict, architecture: dict, tensors: bytes) -> bytes:
    text = json.dumps({"__metadata__": {METADATA_KEY: json.dumps(architecture)}, **header}).encode()
    return struct.pack("<Q", len(text)) + text + tensors


def node(architecture: dict, operator: str) -> dict:
    return next(node for node in architecture["graph"]["nodes"] if node["operator"] == operator)


def spread(header: dict) -> None:
    header["head.bias"]["data_offsets"] = [0, 16]


CHANGES = {
    "operator": (lambda h, a: node(a, "relu").update(operator="exec"), "exec"),
    "inputs": (lambda h, a: node(a, "relu").update(inputs=["nowhere"]), "nowhere"),
    "two inputs": (lambda h, a: node(a, "relu").update(inputs=["x", "x"]), "takes 1 inputs"),
    "node name": (lambda h, a: node(a, "relu").update(name="a b"), "a b"),
    "name twice": (lambda h, a: node(a, "relu").update(name="conv2d"), "conv2d"),
    "attribute": (lambda h, a: node(a, "conv2d")["attributes"].update(stride=[0, 1]), "stride"),
    "attribute type": (lambda h, a: node(a, "conv2d")["attributes"].update(stride=True), "stride"),
    "attribute missing": (lambda h, a: node(a, "mean")["attributes"].update(keepdim=1), "keepdim"),
    "odd attribute": (lambda h, a: node(a, "relu")["attributes"].update(evil=1), "evil"),
    "odd role": (lambda h, a: node(a, "conv2d")["weights"].update(extra="x.extra"), "extra"),
    "role missing": (lambda h, a: node(a, "conv2d")["weights"].clear(), "needs a weight"),
    "shared path": (lambda h, a: node(a, "linear")["weights"].update(weight="point.weight"), "path|linear"),
    "output": (lambda h, a: a["graph"].update(output="relu"), r"\[N, classes\]"),
    "version": (lambda h, a: a["graph"].update(version=2), "version 2"),
    "input": (lambda h, a: a["graph"]["input"].update(shape=[3, 8]), r"\[C, H, W\]"),
    "input type": (lambda h, a: a["graph"]["input"].update(shape=[3, 8.0, 8]), "input"),
    "shape": (lambda h, a: a["graph"]["weight_shapes"].update({"head.bias": [5]}), "head"),
    "shape missing": (lambda h, a: a["graph"]["weight_shapes"].pop("head.bias"), "head.bias"),
    "tensor missing": (lambda h, a: h.pop("head.bias"), "head.bias|must begin|holds"),
    "tensor extra": (lambda h, a: h.update(extra={"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}), "begin"),
    "overlap": (lambda h, a: spread(h), "begin"),
    "dtype": (lambda h, a: h["head.bias"].update(dtype="I8"), "head.bias"),
    "dtype size": (lambda h, a: h["head.bias"].update(dtype="F64"), "head.bias: has 16 bytes"),
    "offsets": (lambda h, a: h["head.bias"].update(data_offsets=[0]), "head.bias: data_offsets"),
    "offset type": (lambda h, a: h["head.bias"].update(data_offsets=["0", 16]), "head.bias"),
    "tensor shape": (lambda h, a: h["head.bias"].update(shape=[2, 2]), "head.bias: has the shape"),
}


@pytest.mark.parametrize("case", sorted(CHANGES))
def test_a_changed_checkpoint_is_refused_by_name(case, network, tmp_path: Path):
    change, named = CHANGES[case]
    header, architecture, tensors = taken_apart(write_safetensors(network))
    change(header, architecture)
    path = tmp_path / "net.safetensors"
    path.write_bytes(put_together(header, architecture, tensors))
    with pytest.raises(NetworkRefused, match=named):
        read_network(path)


def test_nan_weights_are_refused_by_name(network, tmp_path):
    path = tmp_path / "net.safetensors"
    spoilt = np.full_like(network.weights["head.bias"], np.nan)
    path.write_bytes(write_safetensors(Network(network.graph, {**network.weights, "head.bias": spoilt})))
    with pytest.raises(NetworkRefused, match=r"head\.bias: holds NaN"):
        read_network(path)


@pytest.mark.parametrize("kept", [9, 100, -1])
def test_a_truncated_checkpoint_is_refused(kept, network, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(write_safetensors(network)[:kept])
    with pytest.raises(NetworkRefused):
        read_network(path)


def test_a_safetensors_file_of_weights_alone_is_refused_saying_what_to_send(tmp_path):
    path = tmp_path / "net.safetensors"
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(FormatRefused, match="carries no architecture"):
        read_network(path)


def test_what_a_checkpoint_is_about_and_its_graph_are_read_without_its_tensors(network, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(write_safetensors(network, {"iteration": 3, "budget": {"macs": 0.5}}))
    assert read_about(path) == {"iteration": 3, "budget": {"macs": 0.5}}
    assert read_graph(path) == network.graph


def test_a_checkpoint_written_straight_to_a_file_has_the_same_bytes(network, tmp_path):
    path = tmp_path / "net.safetensors"
    write_safetensors_file(network, path, {"iteration": 3})
    assert path.read_bytes() == write_safetensors(network, {"iteration": 3})


def test_an_unknown_operator_is_an_unsupported_operator(network, tmp_path):
    header, architecture, tensors = taken_apart(write_safetensors(network))
    node(architecture, "relu")["operator"] = "os.system"
    path = tmp_path / "net.safetensors"
    path.write_bytes(put_together(header, architecture, tensors))
    with pytest.raises(UnsupportedOperator) as refused:
        read_network(path)
    assert refused.value.operator == "os.system"


def changed_somewhere(document: dict, chance: random.Random) -> dict:
    """The JSON with one to three of its members replaced by others of its own, by odd values, or left out."""
    changed = copy.deepcopy(document)
    for _ in range(chance.randint(1, 3)):
        parent: object = changed
        while True:
            keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(parent[key], dict | list) and parent[key] and chance.random() < 0.8:
                parent = parent[key]
                continue
            if chance.random() < 0.15:
                del parent[key]
            else:
                parent[key] = copy.deepcopy(chance.choice([*ODD, parent[chance.choice(keys)]]))
            break
    return changed


ODD = (None, True, 0, 1, -1, 3, 1 << 40, 1 << 70, 0.5, "", "x", "../x", [], [0], [1, 1], [-1, 2], {}, {"x": 1})


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_changed_in_a_checkpoint_it_is_read_or_refused(seed, network, tmp_path):
    chance = random.Random(seed)
    path = tmp_path / "net.safetensors"
    header, architecture, tensors = taken_apart(write_safetensors(network))
    for _ in range(100):
        place = chance.random()
        if place < 0.3:
            path.write_bytes(put_together(changed_somewhere(header, chance), architecture, tensors))
        else:
            path.write_bytes(put_together(header, changed_somewhere(architecture, chance), tensors))
        with contextlib.suppress(AdaptError):
            read = read_network(path)
            assert read_graph(path) == read.graph
            costs(read.graph)


def test_an_architecture_that_is_no_text_of_unicode_is_refused(network, tmp_path):
    """Half of a surrogate pair survives in the header's JSON; found by mutating files."""
    header, architecture, tensors = taken_apart(write_safetensors(network))
    header["__metadata__"] = {METADATA_KEY: json.dumps(architecture) + "\ud800"}
    text, path = json.dumps(header).encode(), tmp_path / "net.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + tensors)
    with pytest.raises(NetworkRefused, match="architecture: is not valid JSON"):
        read_network(path)
