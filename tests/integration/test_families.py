"""Every family goes the whole way: exported, read, grouped, pruned, trained a little, and written in three formats."""

import warnings
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from adapt.agreement import largest_difference, run_module, run_onnx
from adapt.checkpoint import read_network, write_safetensors
from adapt.errors import UnsupportedOperator
from adapt.export import write_pt2
from adapt.formats.onnx_writer import write_onnx
from adapt.graph.coupling import layer_names
from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup, all_kept, prune, pruned_graph, unread
from adapt.groups import channel_groups
from adapt.latency.units import find_units
from adapt.modules import build_module, read_weights
from adapt.pruning_check import compute
from adapt.reach import counts_of
from tests.more_networks import CLASSES, FAMILIES2, family2
from tests.networks import uploaded


@cache
def read(name: str) -> tuple[nn.Module, Network, tuple[ChannelGroup, ...]]:
    module, shape = family2(name)
    network = uploaded(module, shape)
    return module, network, channel_groups(network)


def images_for(network: Network, count: int = 4) -> NDArray[np.float32]:
    return np.random.default_rng(5).standard_normal((count, *network.graph.input_shape)).astype(np.float32)


def halved(groups: tuple[ChannelGroup, ...], chosen: tuple[ChannelGroup, ...]) -> dict[str, tuple[int, ...]]:
    draw = np.random.default_rng(3)
    return all_kept(groups) | {
        group.id: tuple(sorted(draw.permutation(group.channels)[: group.channels // 2].tolist())) for group in chosen
    }


def two_steps(network: Network) -> Network:
    module = build_module(network)
    optimizer = torch.optim.SGD(module.parameters(), 1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(torch.from_numpy(images_for(network, 8))), torch.arange(8) % CLASSES)
        loss.backward()
        optimizer.step()
    return Network(network.graph, read_weights(module))


@pytest.mark.parametrize("name", FAMILIES2)
def test_a_family_goes_from_the_upload_to_three_checkpoints_that_agree(name: str, tmp_path: Path) -> None:
    original, network, groups = read(name)
    images = images_for(network)
    with torch.inference_mode():
        expected = original(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(run_module(network, images), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert largest_difference(network) < 1e-4

    prunable = tuple(group for group in groups if group.prunable)
    for chosen in (*((group,) for group in prunable), prunable):
        kept = halved(groups, chosen)
        doubles = images_for(network, 2).astype(np.float64)
        silenced = compute(unread(network, groups, kept), doubles)
        pruned = prune(network.graph, groups, network, all_kept(groups), kept)
        np.testing.assert_allclose(compute(pruned, doubles), silenced, rtol=0, atol=1e-9 * np.abs(silenced).max())

    trained = two_steps(pruned)
    answers = [run_module(trained, images), run_onnx(write_onnx(trained), images)]
    onnx.checker.check_model(onnx.load_from_string(write_onnx(trained)), full_check=True)
    for suffix, data in (("pt2", write_pt2(trained)), ("safetensors", write_safetensors(trained))):
        path = tmp_path / f"net.{suffix}"
        path.write_bytes(data)
        answers.append(run_module(read_network(path), images))
    with torch.inference_mode():
        answers.append(torch.export.load(tmp_path / "net.pt2").module()(torch.from_numpy(images)).numpy())
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], rtol=0, atol=1e-4 * max(1.0, np.abs(answers[0]).max()))


@pytest.mark.parametrize("name", FAMILIES2)
def test_every_layer_of_a_family_is_in_a_group_and_what_stays_whole_says_why(name: str) -> None:
    _, network, groups = read(name)
    layers = [layer for group in groups for layer in group.layers]
    assert len(layers) == len(set(layers)) == sum(n.operator in ("conv2d", "linear") for n in network.graph.nodes)
    assert set(layers) == set(layer_names(network.graph).values()), "patterns are checked against these before"
    for group in groups:
        assert (group.reason is None) == group.prunable
        assert group.prunable or len((group.reason or "").split()) > 5


@pytest.mark.parametrize("name", FAMILIES2)
def test_pruning_leaves_every_unit_of_the_latency_table_of_its_kind(name: str) -> None:
    _, network, groups = read(name)
    whole = {unit.operator for unit in find_units(network.graph)}
    draw = np.random.default_rng(1)
    for _ in range(5):
        counts = {group.id: int(draw.choice(counts_of(group, multiple=1, minimum=2))) for group in groups}
        assert {unit.operator for unit in find_units(pruned_graph(network.graph, groups, counts))} <= whole


VARIANTS: dict[str, tuple[int, int | None, torch.dtype]] = {
    "one channel": (1, None, torch.float32),
    "batch of one": (3, 1, torch.float32),
    "batch of three": (3, 3, torch.float32),
    "float16": (3, None, torch.float16),
    "bfloat16": (3, None, torch.bfloat16),
}
"""Channels of the images, a fixed batch size, the type of weights and images."""


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["inception-v3", "shufflenet-v2", "convnext", "alexnet"])
def test_images_batches_and_types_of_all_sorts_are_read(name: str, variant: str, tmp_path: Path) -> None:
    channels, batch, dtype = VARIANTS[variant]
    build, (_, height, width) = FAMILIES2[name]
    torch.manual_seed(0)
    module = build().to(dtype).eval()
    if channels == 1:
        with_images_of_one_channel(module)
    images = torch.zeros(batch or 2, channels, height, width, dtype=dtype)
    dynamic = None if batch else ({0: torch.export.Dim("batch")},)
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(module, (images,), dynamic_shapes=dynamic), path)
    network = read_network(path)
    assert network.graph.input_shape == (channels, height, width)
    some = images_for(network)
    with torch.inference_mode():
        expected = module.float()(torch.from_numpy(some)).numpy()
    np.testing.assert_allclose(run_module(network, some), expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max()))
    assert largest_difference(network) < 1e-4


DECOMPOSED = sorted(FAMILIES2.keys() - {"convnext"})


@pytest.mark.parametrize("name", DECOMPOSED)
def test_a_family_is_read_too_where_its_export_was_decomposed_into_core_operators(name: str, tmp_path: Path) -> None:
    module, network = family2(name)[0], read_network(decomposed(name, tmp_path))
    images = images_for(network)
    with torch.inference_mode():
        expected = module(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(run_module(network, images), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_linear_layers_over_positions_are_refused_by_name_where_they_were_decomposed(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperator, match=r"pwconv1: operator '_operator\.mul'"):
        read_network(decomposed("convnext", tmp_path))


def decomposed(name: str, folder: Path) -> Path:
    module, shape = family2(name)
    images, dynamic = torch.zeros(2, *shape), ({0: torch.export.Dim("batch")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, of tree specs
        program = torch.export.export(module.eval(), (images,), dynamic_shapes=dynamic).run_decompositions()
    path = folder / "net.pt2"
    torch.export.save(program, path)
    return path


def with_images_of_one_channel(module: nn.Module) -> None:
    first = next(layer for layer in module.modules() if isinstance(layer, nn.Conv2d))
    first.in_channels, first.weight = 1, nn.Parameter(first.weight[:, :1].detach().clone())
