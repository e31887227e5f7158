"""Names that a user chose, in the files that we hand out: each loads with the plain loader and trains; none is code."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto

from adapt.checkpoint import read_network
from adapt.export import write_pt2
from adapt.formats.onnx_writer import write_onnx
from adapt.graph.network import Network
from tests.hostile_pt2 import code
from tests.pt2_files import small_pt2


def named(name: str, folder: Path) -> Network:
    """The small network with its layer `point` called `name`."""
    path = folder / "net.pt2"
    path.write_bytes(small_pt2())
    network = read_network(path)
    names = {old: re.sub(r"^point\.", f"{name}.", old) for old in network.graph.weight_shapes}
    nodes = tuple(
        replace(node, weights={role: names[old] for role, old in node.weights.items()}) for node in network.graph.nodes
    )
    shapes = {names[old]: shape for old, shape in network.graph.weight_shapes.items()}
    graph = replace(network.graph, nodes=nodes, weight_shapes=shapes)
    return Network(graph, {names[old]: tensor for old, tensor in network.weights.items()})


@pytest.mark.parametrize("name", ["block1-0", "a b/c:d@e#f=g+h", "0.1", "self", "in", "b.None.class", "a" * 200])
def test_a_network_loads_again_and_trains_whatever_its_layers_are_called(name: str, tmp_path: Path) -> None:
    network = named(name, tmp_path)
    images = torch.randn(3, *network.graph.input_shape, generator=torch.Generator().manual_seed(0))
    module = torch.export.load(io.BytesIO(write_pt2(network))).module()
    logits = module(images)
    session = onnxruntime.InferenceSession(write_onnx(network))
    expected = session.run(None, {network.graph.input_name: images.numpy()})[0]
    np.testing.assert_allclose(logits.detach(), expected, atol=1e-4)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_a_keywords_stand_in_takes_no_other_layers_name(tmp_path: Path) -> None:
    path = tmp_path / "out.pt2"
    network = named("in", tmp_path)
    taken = {old: old.replace("depthwise.", "in_.") for old in network.graph.weight_shapes}
    nodes = tuple(
        replace(node, weights={role: taken[old] for role, old in node.weights.items()}) for node in network.graph.nodes
    )
    shapes = {taken[old]: shape for old, shape in network.graph.weight_shapes.items()}
    weights = {taken[old]: tensor for old, tensor in network.weights.items()}
    path.write_bytes(write_pt2(Network(replace(network.graph, nodes=nodes, weight_shapes=shapes), weights)))
    assert {"in__.weight", "in_.weight"} <= read_network(path).weights.keys()


def test_code_in_the_names_of_an_onnx_file_reaches_nothing_that_we_write(tmp_path: Path) -> None:
    sentinel = tmp_path / "ran"
    evil = f'head.a"+str({code(sentinel)})+"'
    content = ModelProto.FromString(write_onnx(named("point", tmp_path)))
    renamed = {tensor.name: f"{evil}{place}" for place, tensor in enumerate(content.graph.initializer)}
    for tensor in content.graph.initializer:
        tensor.name = renamed[tensor.name]
    for node in content.graph.node:
        node.name = evil
        node.input[:] = [renamed.get(value, value) for value in node.input]
    path = tmp_path / "evil.onnx"
    path.write_bytes(content.SerializeToString())
    network = read_network(path)
    torch.export.load(io.BytesIO(write_pt2(network))).module()(torch.zeros(2, *network.graph.input_shape))
    assert not sentinel.exists()
    assert all(re.fullmatch(r"[A-Za-z0-9_.]+", name) for name in network.weights)
