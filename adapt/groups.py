"""Channel groups of a network. The only module that touches Torch-Pruning; what leaves it are plain values.

Torch-Pruning's dependency graph says which channels are tied together. It knows neither the network's input nor its
output, misses ties that leave no gradient, and is not proven on what strangers upload: both ends are therefore framed
by layers of our own, each answer is checked to be one-to-one, and the pruning that follows is proven on the network.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

from adapt.errors import NetworkRefused
from adapt.graph.kinds import Topology
from adapt.graph.network import Graph, Network, Node
from adapt.graph.pruning import ChannelGroup, Slice
from adapt.graph.shapes import infer_shapes, layer_name
from adapt.modules import build_module
from adapt.pruning_check import wrongly_pruned

_HEAD = "it produces the classes, which are never pruned"
_ENTRY = "its channels are tied to those of the images, which cannot be pruned"
_GROUPED = "it belongs to a grouped convolution, whose groups would have to lose the same channels each"
_SINGLE = "it has a single channel"
_UNEVEN = "its channels are tied to another layer's only in part, or to several of its channels at once"
_UNPROVEN = "without these channels the network does not compute what it computes when nothing reads them"


def channel_groups(network: Network) -> tuple[ChannelGroup, ...]:
    """Every convolution and linear layer of `network` in exactly one group, in topological order of the first layer.

    A group's id is the name of its first layer. Groups that cannot be pruned say why. Weights are not looked at,
    only their shapes. Raises NetworkRefused when the channels cannot be followed at all.
    """
    layers = _Layers(network.graph)
    with torch.inference_mode(mode=False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        finder = _Finder(network, layers)
        found = _refuse_overlaps([_checked(coupling, layers) for coupling in finder.couplings()])
    groups = tuple(_group(coupling, layers) for coupling in found)
    wrong = wrongly_pruned(network, groups)
    return tuple(replace(group, prunable=False, reason=_UNPROVEN) if group.id in wrong else group for group in groups)


@dataclass(frozen=True)
class _Owned:
    """Along `axis` of `tensor`, channel -> the positions it owns."""

    tensor: str
    axis: int
    filters: bool
    positions: Mapping[int, tuple[int, ...]]


@dataclass(frozen=True)
class _Coupling:
    """What is tied to the output channels of the layer whose weight is `root`."""

    root: str
    channels: int
    owned: tuple[_Owned, ...]
    reason: str | None = None

    @property
    def producers(self) -> tuple[str, ...]:
        return tuple(part.tensor for part in self.owned if part.filters)


class _Layers:
    """The convolutions and linear layers of a graph by the name of their weight, in topological order."""

    def __init__(self, graph: Graph) -> None:
        self.shapes = infer_shapes(graph)
        self.graph = graph
        self.nodes: dict[str, Node] = {
            node.weights["weight"]: node for node in graph.nodes if node.operator in ("conv2d", "linear")
        }
        self.rank = {weight: index for index, weight in enumerate(self.nodes)}
        mixing = [node.name for weight, node in self.nodes.items() if not self.is_depthwise(weight)]
        self.topology = Topology(graph, mixing)

    def groups(self, weight: str) -> int:
        """Of the convolution; 1 for a linear layer."""
        node = self.nodes[weight]
        return self.shapes[node.inputs[0]][1] // self.graph.weight_shapes[weight][1]

    def is_depthwise(self, weight: str) -> bool:
        """One filter for each channel, so that channel c of the input is channel c of the output."""
        groups = self.groups(weight)
        return groups > 1 and self.graph.weight_shapes[weight][0] == groups

    def name(self, weight: str) -> str:
        return layer_name(self.nodes[weight])


class _Framed(nn.Module):
    """The network between two layers of our own, so that ties to its input and its output can be seen."""

    def __init__(self, network: nn.Module, channels: int, classes: int) -> None:
        super().__init__()
        self.entry = nn.Conv2d(channels, channels, 1)
        self.network = network
        self.exit = nn.Linear(classes, classes)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.exit(self.network(self.entry(images)))
        return scores


class _Finder:
    """Asks Torch-Pruning's dependency graph, one layer after the other."""

    def __init__(self, network: Network, layers: _Layers) -> None:
        self._layers = layers
        graph = network.graph
        self._framed = _Framed(build_module(network), graph.input_shape[0], layers.shapes[graph.output][1])
        self._names = {
            id(tensor): name
            for name, tensor in (*self._framed.network.named_parameters(), *self._framed.network.named_buffers())
        }
        self._modules = {
            self._names[id(module.weight)]: module
            for module in self._framed.network.modules()
            if isinstance(module, nn.Conv2d | nn.Linear)
        }
        self._dependencies = torch_pruning.DependencyGraph()
        try:
            self._dependencies.build_dependency(self._framed, torch.zeros(2, *graph.input_shape), verbose=False)
        except Exception as failure:  # whatever it stumbles over, the user gets an answer
            raise NetworkRefused("", f"its channels cannot be followed through the network: {failure}") from failure

    def couplings(self) -> Iterator[_Coupling]:
        """One for each set of tied layers, in topological order of the first layer that is not depthwise."""
        seen: set[str] = set()
        for weight in sorted(
            self._modules, key=lambda name: (self._layers.is_depthwise(name), self._layers.rank[name])
        ):
            if weight not in seen:
                coupling = self._coupling(weight)
                seen |= {weight, *coupling.producers}
                yield coupling

    def _coupling(self, weight: str) -> _Coupling:
        module = self._modules[weight]
        channels = module.weight.shape[0]
        try:
            pruner = self._dependencies.get_pruner_of_module(module)
            tied = self._dependencies.get_pruning_group(module, pruner.prune_out_channels, range(channels))
        except Exception as failure:  # as above; the other layers may still be pruned
            return _Coupling(weight, channels, (), f"its channels cannot be followed through the network: {failure}")
        owned: list[_Owned] = []
        reason = None
        for item in tied:
            target, made = item.dep.target.module, self._dependencies.is_out_channel_pruning_fn(item.dep.handler)
            if target is self._framed.entry:
                reason = _ENTRY
            elif target is self._framed.exit:
                reason = reason or _HEAD
            else:
                owned.extend(self._owned(target, made, _by_channel(item)))
        return _Coupling(weight, channels, tuple(owned), reason)

    def _owned(self, target: Any, made: bool, positions: Mapping[int, tuple[int, ...]]) -> Iterator[_Owned]:
        """The tensors of one tied layer. `made`: its output channels, not only its input channels."""
        if isinstance(target, nn.Conv2d | nn.Linear):
            weight = self._names[id(target.weight)]
            if not made:
                yield _Owned(weight, 1, False, positions)
                return
            yield _Owned(weight, 0, True, positions)
            if target.bias is not None:
                yield _Owned(self._names[id(target.bias)], 0, False, positions)
        elif isinstance(target, nn.Module) and not isinstance(target, nn.Parameter):
            for tensor in (*target.parameters(recurse=False), *target.buffers(recurse=False)):
                if tensor.dim():  # not the counter of a batch norm
                    yield _Owned(self._names[id(tensor)], 0, False, positions)


def _by_channel(item: Any) -> Mapping[int, tuple[int, ...]]:
    """Root channel -> the positions it owns, ascending."""
    positions: dict[int, list[int]] = defaultdict(list)
    for position, channel in zip(item.idxs, item.root_idxs, strict=True):
        positions[channel].append(position)
    return {channel: tuple(sorted(found)) for channel, found in positions.items()}


def _checked(coupling: _Coupling, layers: _Layers) -> _Coupling:
    """The coupling with the reason why it cannot be pruned, if there is one."""
    if coupling.reason is not None:
        return coupling
    shapes = layers.graph.weight_shapes
    if coupling.channels < 2:
        return replace(coupling, reason=_SINGLE)
    if any(layers.groups(part.tensor) > 1 and not layers.is_depthwise(part.tensor)
           for part in coupling.owned if part.tensor in layers.nodes):  # fmt: skip
        return replace(coupling, reason=_GROUPED)
    if not all(_one_to_one(part, coupling.channels, shapes[part.tensor][part.axis]) for part in coupling.owned):
        return replace(coupling, reason=_UNEVEN)
    return coupling


def _one_to_one(part: _Owned, channels: int, size: int) -> bool:
    """Every channel owns equally many positions and shares none; the rows of a filter are owned altogether."""
    taken = [position for positions in part.positions.values() for position in positions]
    if set(part.positions) != set(range(channels)) or len(set(taken)) != len(taken):
        return False
    if not all(0 <= position < size for position in taken):
        return False
    return len({len(positions) for positions in part.positions.values()}) == 1 and (
        len(taken) == size or not part.filters
    )


def _refuse_overlaps(couplings: list[_Coupling]) -> list[_Coupling]:
    """No position of a tensor may belong to two groups: such channels are tied in a way that was not understood."""
    owners: dict[tuple[str, int, int], set[str]] = defaultdict(set)
    for coupling in couplings:
        for part in coupling.owned:
            for positions in part.positions.values():
                for position in positions:
                    owners[part.tensor, part.axis, position].add(coupling.root)
    shared = {root for roots in owners.values() if len(roots) > 1 for root in roots}
    return [
        replace(coupling, reason=_UNEVEN) if coupling.root in shared and coupling.reason is None else coupling
        for coupling in couplings
    ]


def _group(coupling: _Coupling, layers: _Layers) -> ChannelGroup:
    producers = sorted({coupling.root, *coupling.producers} & set(layers.nodes), key=lambda name: layers.rank[name])
    consumers = [part.tensor for part in coupling.owned if part.tensor in layers.nodes and not part.filters]
    names = tuple(layers.name(weight) for weight in producers)
    kind = layers.topology.kind(
        [layers.nodes[weight].name for weight in producers], [layers.nodes[weight].name for weight in consumers]
    )
    slices = () if coupling.reason else tuple(
        Slice(
            tensor=part.tensor,
            axis=part.axis,
            positions=tuple(part.positions[channel] for channel in range(coupling.channels)),
            filters=part.filters,
        )
        for part in coupling.owned
    )  # fmt: skip
    return ChannelGroup(
        id=names[0],
        kind=kind,
        layers=names,
        channels=coupling.channels,
        slices=slices,
        prunable=coupling.reason is None,
        reason=coupling.reason,
    )
