"""Channel groups as slice plans, and the pruning that follows from them. Needs no torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
    What can only go together (in a grouped convolution the same position of every group, or a whole group) is one
    channel here, of several filters. `channel_multiple` is a step that the structure imposes beyond that, mostly 1.
    """

    id: str
    kind: Kind
    layers: tuple[str, ...]
    channels: int
    slices: tuple[Slice, ...]
    prunable: bool = True
    reason: str | None = None
    channel_multiple: int = 1

    @property
    def filters_each(self) -> int:
        """How many filters of a layer a channel is made of: one, except in grouped convolutions."""
        return min((len(part.positions[0]) for part in self.slices if part.filters), default=1)


def all_kept(groups: Sequence[ChannelGroup]) -> dict[str, tuple[int, ...]]:
    """The unpruned network's `Kept`."""
    return {group.id: tuple(range(group.channels)) for group in groups}


class Layout:
    """Where the channels of `kept` lie in the tensors of `original` when it is cut down to them.

    What is left of a tensor keeps its order. A layer may read channels of several groups: those of one move when
    another shrinks.
    """

    def __init__(self, original: Graph, groups: Sequence[ChannelGroup], kept: Kept) -> None:
        self.kept = kept
        self._left = {key: np.cumsum(mask) for key, mask in _masks(original, groups, kept).items()}

    def places(self, group: ChannelGroup, part: Slice, length: int) -> NDArray[np.int64]:
        """[channels left, positions of each], along the axis. Raises ValueError when that is not `length` long."""
        left = self._left[part.tensor, part.axis]
        if left[-1] != length:
            where = f"group {group.id}: {part.tensor} is {length} long on axis {part.axis}"
            raise ValueError(f"{where}, {left[-1]} are left of it")
        places: NDArray[np.int64] = left[[part.positions[channel] for channel in self.kept[group.id]]] - 1
        return places


def _masks(original: Graph, groups: Sequence[ChannelGroup], kept: Kept) -> dict[tuple[str, int], NDArray[np.bool_]]:
    """(tensor, axis) -> which of the original positions are left, for all that the groups own something of."""
    masks: dict[tuple[str, int], NDArray[np.bool_]] = {}
    for group in groups:
        gone = set(range(group.channels)) - set(kept[group.id])
        for part in group.slices:
            size = original.weight_shapes[part.tensor][part.axis]
            mask = masks.setdefault((part.tensor, part.axis), np.ones(size, dtype=bool))
            mask[[position for channel in gone for position in part.positions[channel]]] = False
    return masks


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
    Raises ValueError when a channel of `after` is already gone, when none is left, or in a group that must stay whole.
    """
    for group in groups:
        gone_before = set(range(group.channels)) - set(before[group.id])
        gone_after = set(range(group.channels)) - set(after[group.id])
        if not gone_before <= gone_after:
            raise ValueError(f"group {group.id}: channels {sorted(gone_before - gone_after)} were pruned before")
        if gone_after and (not group.prunable or len(gone_after) == group.channels):
            raise ValueError(f"group {group.id}: {group.reason or 'one channel at least must stay'}")
    weights = dict(network.weights)
    present = _masks(original, groups, before)
    for (tensor, axis), mask in _masks(original, groups, after).items():
        stays = mask[present[tensor, axis]]
        if not stays.all():
            weights[tensor] = np.compress(stays, weights[tensor], axis=axis)
    weights = {name: np.array(tensor, order="C") for name, tensor in weights.items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    return Network(original.with_weight_shapes(shapes), weights)


def unread(network: Network, groups: Sequence[ChannelGroup], kept: Kept) -> Network:
    """`network`, unpruned, with the columns zeroed through which later layers read the channels outside `kept`.

    It must compute what the pruned network computes: the proof that the groups are right. Copies what it changes.
    """
    weights = dict(network.weights)
    for group in groups:
        gone = set(range(group.channels)) - set(kept[group.id])
        for part in group.slices:
            if gone and part.axis == 1:
                weights[part.tensor] = np.array(weights[part.tensor])
                weights[part.tensor][:, [p for channel in gone for p in part.positions[channel]]] = 0
    return Network(network.graph, weights)


def groups_to_json(groups: Sequence[ChannelGroup]) -> str:
    """Canonical text, short where a channel's positions are a run: channel c owns first + c * each and what follows."""
    document = [
        {
            "id": group.id,
            "kind": group.kind,
            "layers": group.layers,
            "channels": group.channels,
            "prunable": group.prunable,
            "reason": group.reason,
            "channel_multiple": group.channel_multiple,
            "slices": [
                {"tensor": part.tensor, "axis": part.axis, "filters": part.filters, **_positions_to_json(part)}
                for part in group.slices
            ],
        }
        for group in groups
    ]
    return json.dumps({"version": 1, "groups": document}, sort_keys=True, separators=(",", ":"))


def groups_from_json(text: str) -> tuple[ChannelGroup, ...]:
    """What `groups_to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    document = json.loads(text)
    if document["version"] != 1:
        raise ValueError(
            f"version {document['version']!r} of channel groups is not known; this release reads version 1"
        )
    return tuple(
        ChannelGroup(
            id=group["id"],
            kind=group["kind"],
            layers=tuple(group["layers"]),
            channels=group["channels"],
            prunable=group["prunable"],
            reason=group["reason"],
            channel_multiple=group["channel_multiple"],
            slices=tuple(_slice_from_json(part, group["channels"]) for part in group["slices"]),
        )
        for group in document["groups"]
    )


def _positions_to_json(part: Slice) -> dict[str, Any]:
    first, each = part.positions[0][0], len(part.positions[0])
    if part.positions == _runs(first, each, len(part.positions)):
        return {"first": first, "each": each}
    return {"positions": part.positions}


def _slice_from_json(part: Mapping[str, Any], channels: int) -> Slice:
    if "positions" in part:
        positions = tuple(tuple(owned) for owned in part["positions"])
    else:
        positions = _runs(part["first"], part["each"], channels)
    return Slice(tensor=part["tensor"], axis=part["axis"], filters=part["filters"], positions=positions)


def _runs(first: int, each: int, channels: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(range(first + c * each, first + (c + 1) * each)) for c in range(channels))
