"""Channel groups of a network. The only module that touches Torch-Pruning; what leaves it are plain values.

Torch-Pruning's dependency graph says which channels are tied together. It knows neither the network's input nor its
output, misses ties that leave no gradient, and is not proven on what strangers upload: both ends are therefore framed
by layers of our own, each answer is checked to be one-to-one, and the pruning that follows is proven on the network.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch_pruning
from torch import nn

from adapt.errors import NetworkRefused
from adapt.framing import ENTRY, Framed
from adapt.graph.coupling import Coupling, Entering, Layers, Owned, judged, merged, to_groups
from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup
from adapt.graph.units import in_units
from adapt.pruning_check import wrongly_pruned

_UNUSED = "nothing that leads to the classes reads it"
_LOST = "its channels cannot be followed through the network"
_UNPROVEN = "without some of its channels the network does not compute what it computes when nothing reads them"


def channel_groups(network: Network) -> tuple[ChannelGroup, ...]:
    """Every convolution and linear layer of `network` in exactly one group, in topological order of the first layer.

    A group's id is the name of its first layer. Groups that cannot be pruned say why. Only shapes are looked at, never
    the weights' values. Raises NetworkRefused when the channels cannot be followed at all.
    """
    layers = Layers(network.graph)
    with torch.inference_mode(mode=False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        couplings = in_units(list(_Dependencies(network, layers).couplings()), layers)
    groups = to_groups(merged(judged(coupling, layers) for coupling in couplings), layers)
    wrong = wrongly_pruned(network, groups)
    return tuple(replace(group, prunable=False, reason=_UNPROVEN) if group.id in wrong else group for group in groups)


class _Dependencies:
    """Torch-Pruning's dependency graph, asked about one layer after the other."""

    def __init__(self, network: Network, layers: Layers) -> None:
        self._layers = layers
        graph = network.graph
        self._framed = Framed(network, layers)
        self._graph = torch_pruning.DependencyGraph()
        try:
            self._graph.build_dependency(self._framed, torch.zeros(2, *graph.input_shape), verbose=False)
        except Exception as failure:  # whatever it stumbles over (a ZeroDivisionError, say), the user gets an answer
            raise NetworkRefused("", f"{_LOST}: {failure!r}") from failure

    def couplings(self) -> Iterator[Coupling]:
        """One for each set of tied layers. Depthwise layers come last: their groups begin with what feeds them."""
        seen: set[str] = set()
        weights = self._layers.nodes
        for weight in sorted(weights, key=lambda name: (self._layers.hands_on(name), self._layers.rank[name])):
            if weight not in seen or weight in self._layers.shared:
                for module in self._framed.roots[weight]:
                    coupling = self._coupling(weight, module)
                    seen |= coupling.producers if judged(coupling, self._layers).reason is None else {weight}
                    yield coupling

    def _coupling(self, weight: str, module: nn.Module) -> Coupling:
        nothing = Coupling(root=weight, channels=self._layers.weight_shapes[weight][0], owned=())
        if module not in self._graph.module2node:
            return replace(nothing, reason=_UNUSED)
        try:
            prune = self._graph.get_pruner_of_module(module).prune_out_channels
            tied = self._graph.get_pruning_group(module, prune, range(nothing.channels))
        except Exception as failure:  # as above; the other layers may still be pruned
            return replace(nothing, reason=f"{_LOST}: {failure!r}")
        owned: list[Owned] = []
        entering: list[Entering] = []
        reason = None
        for item in tied:
            target, made = item.dep.target.module, self._graph.is_out_channel_pruning_fn(item.dep.handler)
            if target in self._framed.walls and not (made and target is module):
                reason = self._framed.walls[target] if target is not self._framed.entry else reason or ENTRY
            elif target in self._framed.entries:
                entering.append(Entering(weight=self._framed.entries[target], positions=_by_channel(item)))
            else:
                owned.extend(self._owned(target, made, item))
        reason = self._framed.walls.get(module, reason)
        return replace(nothing, owned=tuple(owned), reason=reason, entering=tuple(entering))

    def _owned(self, target: nn.Module, made: bool, item: Any) -> Iterator[Owned]:
        """The tensors of one tied layer; `made` says that its output channels are tied, not only its input's."""
        positions, places = _by_channel(item), self._framed.places
        filters = isinstance(target, nn.Conv2d | nn.Linear)
        if filters and not made:
            yield Owned(tensor=places[id(target.weight)].tensor, axis=1, filters=False, positions=positions)
            return
        for role, tensor in (*target.named_parameters(recurse=False), *target.named_buffers(recurse=False)):
            if tensor.dim() and id(tensor) in places:  # the counter of a batch norm has no channels
                place = places[id(tensor)]
                is_filter = filters and role == "weight"
                yield Owned(tensor=place.tensor, axis=place.axis, filters=is_filter, positions=positions)


def _by_channel(item: Any) -> Mapping[int, tuple[int, ...]]:
    """Root channel -> the positions it owns, ascending."""
    positions: dict[int, list[int]] = defaultdict(list)
    for position, channel in zip(item.idxs, item.root_idxs, strict=True):
        positions[channel].append(position)
    return {channel: tuple(sorted(found)) for channel, found in positions.items()}
