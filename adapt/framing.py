"""A network made ready for the question which of its channels are tied: what hides or mixes them is walled off.

A wall takes its input into a layer of its own, where the channels end, and hands out the channels of another, where
new ones begin. So the input and the output of the network, slices, shuffles, norms over channels and convolutions in
groups are seen for what they are, and the dependency analysis meets only what it understands.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TypeVar

import torch
from torch import Tensor, nn

from adapt.graph.coupling import Layers
from adapt.graph.layout import channel_axes, why_walled
from adapt.graph.network import Network, Node, Shape
from adapt.graph.operators import OPERATORS
from adapt.graph.operators.channelwise import channel_axis
from adapt.modules import build_module

HEAD = "it produces the classes, which are never pruned"
ENTRY = "its channels are tied to those of the images, which cannot be pruned"
_Layer = TypeVar("_Layer", bound=nn.Module)
_OTHER_AXIS = "a factor for each place of the image, not for each channel, is multiplied to them"


@dataclass(frozen=True)
class Place:
    """A tensor of the network, and the axis along which its channels lie."""

    tensor: str
    axis: int


class Framed(nn.Module):
    """The network between layers of our own. Answers its scores, and what flows into its walls.

    `places` says which tensor of the network a parameter stands for (by its id), `roots` which layers make the
    channels of a weight, `walls` why the channels that reach a layer must stay, `entries` which grouped convolution's
    input a layer is.
    """

    def __init__(self, network: Network, layers: Layers) -> None:
        super().__init__()
        graph = network.graph
        self._graph, self._layers = graph, layers
        self._axes = channel_axes(graph, layers.shapes)
        self._sunk: list[Tensor] = []
        self._own = nn.ModuleList()
        self.places: dict[int, Place] = {}
        self.roots: dict[str, list[nn.Module]] = defaultdict(list)
        self.walls: dict[nn.Module, str] = {}
        self.entries: dict[nn.Module, str] = {}
        self.network = build_module(network, self._substitutes())
        for name, tensor in (*self.network.named_parameters(), *self.network.named_buffers()):
            self.places[id(tensor)] = Place(name, 0)
        for layer in self.network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                self.roots[self.places[id(layer.weight)].tensor].append(layer)
        channels, classes = graph.input_shape[0], layers.shapes[graph.output][1]
        self.entry = nn.Conv2d(channels, channels, 1)
        self.exit = nn.Linear(classes, classes)
        self.walls |= {self.entry: ENTRY, self.exit: HEAD}

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        self._sunk.clear()
        scores: Tensor = self.exit(self.network(self.entry(images)))
        return (scores, *self._sunk)

    def _substitutes(self) -> dict[str, Callable[..., Tensor]]:
        substitutes: dict[str, Callable[..., Tensor]] = {}
        owners: set[str] = set()
        for node in self._graph.nodes:
            weights = set(node.weights.values())
            if substitute := self._substitute(node, again=bool(weights & owners)):
                substitutes[node.name] = substitute
            owners |= weights
        return substitutes

    def _substitute(self, node: Node, *, again: bool) -> Callable[..., Tensor] | None:
        weight = node.weights.get("weight", "")
        shape = self._layers.shapes[node.name]
        if reason := why_walled(node, self._layers.shapes, self._axes):
            return self._wall(node, reason)
        if node.operator == "conv2d" and self._layers.is_grouped(weight):
            return self._grouped(node)
        if node.operator in ("scale", "prelu") and prod(self._graph.weight_shapes[weight]) == 1:
            return torch.relu  # one number for all channels
        if node.operator == "scale":
            along = channel_axis(self._graph.weight_shapes[weight], shape)
            return self._scale(node) if along == self._axes[node.name] else self._wall(node, _OTHER_AXIS)
        if node.operator in ("slice", "pad"):  # along the image: channel c stays channel c
            return lambda x: nn.functional.interpolate(x, shape[2:])
        return self._twin(node) if again else None

    def _wall(self, node: Node, reason: str) -> Callable[..., Tensor]:
        sinks = [self._sink(self._layers.shapes[name], self._axes[name]) for name in node.inputs]
        source = self._source(self._layers.shapes[node.name], self._axes[node.name])
        self.walls |= dict.fromkeys((layer for sink in sinks for layer in sink.modules()), reason)
        if source is not None:
            self.walls[source] = reason
            self._stand_for(source, node)
        return self._through(sinks, source, node)

    def _grouped(self, node: Node) -> Callable[..., Tensor]:
        sink = self._sink(self._layers.shapes[node.inputs[0]], 1)
        source = self._source(self._layers.shapes[node.name], 1)
        self.entries[sink] = node.weights["weight"]
        assert source is not None  # a convolution's output is an image
        self._stand_for(source, node)
        return self._through([sink], source, node)

    def _stand_for(self, source: nn.Module, node: Node) -> None:
        if node.operator in ("conv2d", "linear"):
            for role, name in node.weights.items():
                self.places[id(getattr(source, role))] = Place(name, 0)
            self.roots[node.weights["weight"]].append(source)

    def _through(self, sinks: list[nn.Module], source: nn.Module | None, node: Node) -> Callable[..., Tensor]:
        shape, axis = self._layers.shapes[node.name], self._axes[node.name]

        def through(*inputs: Tensor) -> Tensor:
            # what comes from a wall without a source carries no channels
            self._sunk += [sink(x) for sink, x in zip(sinks, inputs, strict=True) if x.requires_grad]
            size = [inputs[0].shape[0], *shape[1:]]
            if source is None:
                return torch.zeros(size)
            size[axis] = 1
            made: Tensor = source(torch.zeros(size))
            return made

        return through

    def _sink(self, shape: Shape, axis: int) -> nn.Module:
        if len(shape) == 4 and axis == 1:
            return self._owned(nn.Conv2d(shape[1], 1, 1))
        if len(shape) == 2 or len(shape) == 4:
            return self._owned(nn.Linear(shape[-1], 1))
        return self._owned(nn.Sequential(nn.Flatten(), nn.Linear(prod(shape[1:]), 1)))

    def _source(self, shape: Shape, axis: int) -> nn.Module | None:
        if len(shape) == 4 and axis == 1:
            return self._owned(nn.Conv2d(1, shape[1], 1))
        return self._owned(nn.Linear(1, shape[-1])) if len(shape) in (2, 4) else None

    def _scale(self, node: Node) -> Callable[..., Tensor]:
        """A layer of a kind that the analysis knows, with one number for each channel."""
        shape, name = self._graph.weight_shapes[node.weights["weight"]], node.weights["weight"]
        channels = prod(shape)
        last = self._axes[node.name] == 3 or len(self._layers.shapes[node.name]) == 2
        layer = self._owned(nn.LayerNorm(channels) if last else nn.PReLU(channels))
        self.places[id(layer.weight)] = Place(name, shape.index(channels))
        return layer

    def _twin(self, node: Node) -> nn.Module | None:
        """A layer that is applied again: another module for the analysis, of the same tensors."""
        build = OPERATORS[node.operator].module
        if build is None or not node.weights:
            return None
        weights = {role: self._graph.weight_shapes[name] for role, name in node.weights.items()}
        inputs = [self._layers.shapes[name] for name in node.inputs]
        layer: nn.Module = self._owned(build(torch, inputs, node.attributes, weights))
        for role, tensor in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)):
            self.places[id(tensor)] = Place(node.weights[role], 0)
        if node.operator in ("conv2d", "linear"):
            self.roots[node.weights["weight"]].append(layer)
        return layer

    def _owned(self, layer: _Layer) -> _Layer:
        self._own.append(layer)
        return layer
