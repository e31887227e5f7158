"""Proves that groups may be pruned: a network without some channels equals one in which nothing reads them.

Both are computed in float64 with random weights, so that neither dead channels nor rounding hide a mistake.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from adapt.errors import NetworkRefused
from adapt.graph.network import Network, Node
from adapt.graph.pruning import ChannelGroup, Kept, all_kept, prune, unread
from adapt.modules import build_module

_TOLERANCE = 1e-8
"""Relative to the largest score. Rounding leaves about 1e-14; a wrong channel shows at 1e-3 and above."""

_SATURATING = {"softmax", "log_softmax", "sigmoid"}


def wrongly_pruned(network: Network, groups: Sequence[ChannelGroup]) -> frozenset[str]:
    """Ids of the prunable `groups` for which the proof fails, alone or together with those before them.

    Costs two passes of one image through the network when all is well. `network` is only read.
    """
    random = _with_random_weights(network)
    prunable = [group for group in groups if group.prunable]
    if _equals_unread(random, groups, prunable):
        return frozenset()
    proven: list[ChannelGroup] = []
    for group in prunable:
        if _equals_unread(random, groups, [*proven, group]):
            proven.append(group)
    return frozenset(group.id for group in prunable if group not in proven)


def compute(network: Network, images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores [N, classes] of `images` [N, C, H, W] in float64 and evaluation mode."""
    with torch.inference_mode(mode=False), torch.random.fork_rng(devices=[]), torch.no_grad():
        scores: NDArray[np.float64] = build_module(network).double().eval()(torch.from_numpy(images)).numpy()
    return scores


def _equals_unread(network: Network, groups: Sequence[ChannelGroup], shrunk: Sequence[ChannelGroup]) -> bool:
    draw = np.random.default_rng(0)
    kept: Kept = all_kept(groups) | {
        group.id: tuple(sorted(draw.permutation(group.channels)[: max(1, group.channels // 2)].tolist()))
        for group in shrunk
    }
    images = draw.standard_normal((1, *network.graph.input_shape))
    expected = compute(unread(network, groups, kept), images)
    try:
        actual = compute(prune(network.graph, groups, network, all_kept(groups), kept), images)
    except (NetworkRefused, RuntimeError, ValueError, IndexError):  # shapes that do not fit any more
        return False
    return bool(np.abs(actual - expected).max() <= _TOLERANCE * np.abs(expected).max())


def _with_random_weights(network: Network) -> Network:
    """The scores themselves are its output: a saturated softmax at the end would hide any difference."""
    graph = network.graph
    draw = np.random.default_rng(1)
    weights = dict(network.weights)
    for node in graph.nodes:
        for role, name in node.weights.items():
            if np.issubdtype(network.weights[name].dtype, np.floating):
                weights[name] = _random(node, role, graph.weight_shapes[name], draw)
    last = graph.nodes[-1]
    if last.name == graph.output and last.operator in _SATURATING:
        graph = replace(graph, nodes=graph.nodes[:-1], output=last.inputs[0])
    return Network(graph, weights)


def _random(node: Node, role: str, shape: tuple[int, ...], draw: np.random.Generator) -> NDArray[np.float32]:
    if role == "running_var" or (role == "weight" and node.operator == "batch_norm"):
        return draw.uniform(0.5, 1.5, shape).astype(np.float32)
    # He's initialisation keeps the size of the signal through a ReLU
    deviation = math.sqrt(2 / math.prod(shape[1:])) if role == "weight" else 0.2
    return np.float32(deviation) * draw.standard_normal(shape, dtype=np.float32)
