"""Channel groups as slice plans, and the pruning that follows from them. Needs no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from adapt.graph.network import Graph, Network, Shape

Kind = Literal["expansion", "bottleneck", "squeeze", "plain", "linear"]
Kept = Mapping[str, tuple[int, ...]]
"""Group id -> ascending indices, among the *original* network's channels, of those that stay."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Where the channels of a group lie in one tensor: channel c owns `positions[c]` along `axis`.

    `filters` says that these are the rows that produce the channel (their norm is the filter's importance),
    not the columns of a consumer or the parameters of a batch norm.
    """

    tensor: str
    axis: int
    positions: tuple[tuple[int, ...], ...]
    filters: bool = False


@dataclass(frozen=True, kw_only=True)
class ChannelGroup:
    """Channels tied together by depthwise convolutions, residual sums or concatenations: they shrink together.

    `layers` are the names of the producing layers. When `prunable` is false, `reason` says why in words.
    `channel_multiple` is the step that the network's own structure imposes (grouped convolutions), 1 elsewhere.
    """

    id: str
    kind: Kind
    layers: tuple[str, ...]
    channels: int
    slices: tuple[Slice, ...]
    prunable: bool = True
    reason: str | None = None
    channel_multiple: int = 1


def all_kept(groups: Sequence[ChannelGroup]) -> dict[str, tuple[int, ...]]:
    """The unpruned network's `Kept`."""
    return {group.id: tuple(range(group.channels)) for group in groups}


def pruned_shapes(graph: Graph, groups: Sequence[ChannelGroup], counts: Mapping[str, int]) -> dict[str, Shape]:
    """Tensor shapes of the *original* `graph` when group g keeps `counts[g.id]` channels; others keep all.

    Only counts matter: every channel of a group owns equally many positions in a tensor.
    """
    shapes = {name: list(shape) for name, shape in graph.weight_shapes.items()}
    for group in groups:
        removed = group.channels - counts.get(group.id, group.channels)
        if removed:
            for part in group.slices:
                shapes[part.tensor][part.axis] -= removed * len(part.positions[0])
    return {name: tuple(shape) for name, shape in shapes.items()}


def pruned_graph(graph: Graph, groups: Sequence[ChannelGroup], counts: Mapping[str, int]) -> Graph:
    """The candidate that keeps `counts` channels of each group of the *original* `graph`."""
    return graph.with_weight_shapes(pruned_shapes(graph, groups, counts))


def prune(original: Graph, groups: Sequence[ChannelGroup], network: Network, before: Kept, after: Kept) -> Network:
    """Cut `network`, which is `original` with the channels of `before`, down to the channels of `after`.

    `after` must keep subsets of `before`. Weights are copied, never shared with `network`.
    Raises ValueError when a channel of `after` is already gone.
    """
    stays: dict[tuple[str, int], np.ndarray] = {}  # mask over the original positions
    present: dict[tuple[str, int], np.ndarray] = {}
    for group in groups:
        gone_before = set(range(group.channels)) - set(before[group.id])
        gone_after = set(range(group.channels)) - set(after[group.id])
        if not gone_before <= gone_after:
            raise ValueError(f"group {group.id}: channels {sorted(gone_before - gone_after)} were pruned before")
        if not gone_after:
            continue
        for part in group.slices:
            key = (part.tensor, part.axis)
            size = original.weight_shapes[part.tensor][part.axis]
            for masks, gone in ((present, gone_before), (stays, gone_after)):
                mask = masks.setdefault(key, np.ones(size, dtype=bool))
                mask[[p for channel in gone for p in part.positions[channel]]] = False
    weights = {name: np.array(tensor) for name, tensor in network.weights.items()}
    for (tensor, axis), mask in stays.items():
        weights[tensor] = np.ascontiguousarray(np.compress(mask[present[tensor, axis]], weights[tensor], axis=axis))
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    return Network(original.with_weight_shapes(shapes), weights)
