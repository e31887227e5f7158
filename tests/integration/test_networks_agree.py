"""Original, rebuilt module and ONNX compute the same, and every file format brings a network back."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from adapt.agreement import largest_difference, run_module, run_onnx
from adapt.checkpoint import read_network, read_safetensors, write_safetensors
from adapt.export import write_pt2
from adapt.formats.onnx_writer import write_onnx
from adapt.graph.network import Network
from adapt.modules import build_module, read_weights
from tests.networks import FAMILIES, INPUT_SHAPE, export_pt2

IMAGES = np.random.default_rng(1).standard_normal((3, *INPUT_SHAPE)).astype(np.float32)


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request, tmp_path_factory):
    """(original in eval mode, the network read from its .pt2 file)."""
    original = FAMILIES[request.param]()
    path = tmp_path_factory.mktemp("families") / "net.pt2"
    path.write_bytes(export_pt2(original))
    return original.eval(), read_network(path)


def answer(original: torch.nn.Module) -> np.ndarray:
    with torch.inference_mode():
        return original(torch.from_numpy(IMAGES)).numpy()


def test_the_rebuilt_module_answers_as_the_original(family):
    original, network = family
    np.testing.assert_allclose(run_module(network, IMAGES), answer(original), atol=1e-5)


def test_the_onnx_file_answers_as_the_original(family):
    original, network = family
    model = write_onnx(network)
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    expected = answer(original)
    np.testing.assert_allclose(run_onnx(model, IMAGES), expected, rtol=0, atol=1e-4 * max(1, np.abs(expected).max()))
    assert largest_difference(network) < 1e-4


def test_the_onnx_file_is_the_same_every_time_and_names_nodes_as_the_graph(family):
    _, network = family
    model = write_onnx(network)
    assert model == write_onnx(network)
    names = {node.name.partition("/")[0] for node in onnx.load_from_string(model).graph.node}
    assert names == {node.name for node in network.graph.nodes}


def test_the_rebuilt_module_has_the_original_state_dict_and_trains_alike(family):
    original, network = family
    rebuilt = build_module(network)
    assert {n: t.shape for n, t in rebuilt.state_dict().items()} == {
        n: t.shape for n, t in original.state_dict().items()
    }
    assert set(dict(rebuilt.named_parameters())) == set(dict(original.named_parameters()))
    assert rebuilt.training
    rebuilt(torch.from_numpy(IMAGES)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in rebuilt.parameters())
    counters = [name for name in network.weights if name.endswith("num_batches_tracked")]
    assert all(read_weights(rebuilt)[name] == network.weights[name] + 1 for name in counters)


def test_weights_come_back_bit_for_bit_and_as_copies(family):
    _, network = family
    module = build_module(network)
    weights = read_weights(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert weights.keys() == network.weights.keys()
    for name, tensor in network.weights.items():
        np.testing.assert_array_equal(weights[name], tensor)


def test_a_safetensors_checkpoint_brings_the_network_back_and_is_the_same_bytes(family, tmp_path: Path):
    _, network = family
    data = write_safetensors(network, {"iteration": 3})
    path = tmp_path / "net.safetensors"
    path.write_bytes(data)
    again = read_network(path)
    assert again.graph == network.graph
    assert write_safetensors(again, {"iteration": 3}) == data
    np.testing.assert_array_equal(run_module(again, IMAGES), run_module(network, IMAGES))


def test_a_pt2_that_we_write_loads_with_plain_torch_and_with_our_reader(family, tmp_path: Path):
    original, network = family
    path = tmp_path / "net.pt2"
    path.write_bytes(write_pt2(network))
    program = torch.export.load(path)
    with torch.inference_mode():
        answered = program.module()(torch.from_numpy(IMAGES)).numpy()
    np.testing.assert_allclose(answered, answer(original), atol=1e-5)
    again = read_network(path)
    assert again.graph.weight_shapes.keys() == network.graph.weight_shapes.keys()
    assert [node.operator for node in again.graph.nodes] == [node.operator for node in network.graph.nodes]


def test_a_pruned_checkpoint_keeps_its_own_shapes(tmp_path: Path):
    path = tmp_path / "net.pt2"
    path.write_bytes(export_pt2(FAMILIES["plain-chain"]()))
    network = read_network(path)
    head = next(node for node in reversed(network.graph.nodes) if node.operator == "linear")
    weights = dict(network.weights)
    for name in head.weights.values():
        weights[name] = weights[name][:7]
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    pruned = Network(network.graph.with_weight_shapes(shapes), weights)
    path.write_bytes(write_safetensors(pruned))
    again = read_safetensors(path)
    assert again.graph == pruned.graph
    assert run_module(again, IMAGES).shape == (3, 7)
