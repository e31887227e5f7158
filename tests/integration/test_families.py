"""Every family goes the whole way: exported, read, grouped, pruned, trained a little, and written in three formats."""

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
from adapt.export import write_pt2
from adapt.formats.onnx_writer import write_onnx
from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup, all_kept, prune, unread
from adapt.groups import channel_groups
from adapt.modules import build_module, read_weights
from adapt.pruning_check import compute
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
    for group in groups:
        assert (group.reason is None) == group.prunable
        assert group.prunable or len((group.reason or "").split()) > 5
