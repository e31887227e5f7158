"""A network as a trainable torch module, and its weights back as data."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from adapt.errors import NetworkRefused
from adapt.graph.network import Graph, Network, Node
from adapt.graph.operators import OPERATORS
from adapt.graph.shapes import infer_shapes, layer_name

_Step = tuple[Callable[..., Tensor], tuple[int, ...], int, tuple[int, ...]]


class GraphModule(nn.Module):
    """Runs a graph's nodes in order. Layers sit at their original paths, so the state_dict is the original's.

    Input [N, C, H, W] float32, output [N, classes].
    """

    def __init__(self) -> None:
        super().__init__()
        self._netadapt_steps: tuple[_Step, ...] = ()
        self._netadapt_slots: Mapping[str, int] = {}
        self.output = ""

    def forward(self, images: Tensor) -> Tensor:
        return self.values(images, (self.output,))[0]

    def values(self, images: Tensor, names: Sequence[str]) -> list[Tensor]:
        """What the nodes of these names compute; nothing that comes after the last of them is computed."""
        wanted = [self._netadapt_slots[name] for name in names]
        values: list[Any] = [None] * len(self._netadapt_slots)
        values[0] = images
        for call, sources, target, unused in self._netadapt_steps[: max(wanted)]:  # slot 0 is the input's
            values[target] = call(*[values[source] for source in sources])
            for slot in unused:  # frees activations as a hand-written forward would
                if slot not in wanted:
                    values[slot] = None
        return [values[slot] for slot in wanted]

    def node_by_node(self, images: Tensor) -> Iterator[str]:
        """Computes what `forward` does; yields each node's name when it is done."""
        names = {slot: name for name, slot in self._netadapt_slots.items()}
        values: list[Any] = [images, *[None] * (len(names) - 1)]
        for call, sources, target, unused in self._netadapt_steps:
            values[target] = call(*[values[source] for source in sources])
            for slot in unused:
                values[slot] = None
            yield names[target]


def build_module(network: Network, substitutes: Mapping[str, Callable[..., Tensor]] | None = None) -> GraphModule:
    """A module in training mode that computes `network`, with copies of its weights.

    A layer that is applied twice is one module. `substitutes` stand in for the nodes that they are named after: they
    are called in their places, and nothing is then filled with weights. Raises NetworkRefused when shapes do not fit
    or a layer's path cannot be a module's name.
    """
    graph = network.graph
    replaced = substitutes or {}
    shapes = infer_shapes(graph)
    root = GraphModule()
    calls: dict[str, Callable[..., Tensor]] = {}
    paths = module_paths(graph)
    shared: dict[str, nn.Module] = {}
    for node in sorted(graph.nodes, key=lambda node: paths[node.name].count(".")):
        operator = OPERATORS[node.operator]
        if node.name in replaced:
            calls[node.name] = replaced[node.name]
        elif node.weights and paths[node.name] in shared:
            calls[node.name] = shared[paths[node.name]]
        elif operator.function is not None:
            calls[node.name] = operator.function(torch, node.attributes)
        elif operator.module is not None:
            weights = {role: graph.weight_shapes[name] for role, name in node.weights.items()}
            inputs = [shapes[name] for name in node.inputs]
            layer = operator.module(torch, inputs, node.attributes, weights)
            _place(root, paths[node.name], layer, node)
            calls[node.name] = shared[paths[node.name]] = layer
    root._netadapt_steps, root._netadapt_slots = _plan(graph, calls)
    root.output = graph.output
    if substitutes is None:
        _load(root, network)
    return root


def _load(root: nn.Module, network: Network) -> None:
    state = root.state_dict()  # with its version: without one torch adds a counter to batch norms that have none
    if odd := sorted(state.keys() ^ network.weights.keys()):
        raise NetworkRefused(odd[0], "is not both a weight of the file and a tensor of a layer")
    state.update({name: torch.tensor(tensor) for name, tensor in network.weights.items()})
    root.load_state_dict(state)


def read_weights(module: nn.Module) -> dict[str, NDArray[Any]]:
    """Copies of the module's state, by name: what `Network.weights` holds."""
    return {name: np.array(tensor.detach().cpu().contiguous().numpy()) for name, tensor in module.state_dict().items()}


def module_paths(graph: Graph) -> dict[str, str]:
    """Node name -> where its module lives: the prefix of its weights' names, or a free name for one without any."""
    paths = {
        node.name: next(name.removesuffix(f".{role}") for role, name in node.weights.items())
        for node in graph.nodes
        if node.weights
    }
    taken = {path.partition(".")[0] for path in paths.values()}
    for node in graph.nodes:
        if node.name not in paths:
            path = node.name
            while path in taken:
                path += "_"
            taken.add(path)
            paths[node.name] = path
    return paths


def _place(root: nn.Module, path: str, layer: nn.Module, node: Node) -> None:
    """Puts `layer` at a dotted path, making empty containers on the way."""
    *containers, last = path.split(".")
    owner = root
    for name in containers:
        if name not in owner._modules:
            _add(owner, name, nn.Module(), node)
        owner = owner.get_submodule(name)
    _add(owner, last, layer, node)


def _add(owner: nn.Module, name: str, module: nn.Module, node: Node) -> None:
    if name in owner._modules:
        raise NetworkRefused(layer_name(node), f"two layers have the path of {name!r}")
    try:
        owner.add_module(name, module)
    except KeyError as taken:
        raise NetworkRefused(layer_name(node), f"a layer cannot be named {name!r}: torch uses that name") from taken


def _plan(graph: Graph, calls: dict[str, Callable[..., Tensor]]) -> tuple[tuple[_Step, ...], Mapping[str, int]]:
    slots = {name: slot for slot, name in enumerate([graph.input_name, *(node.name for node in graph.nodes)])}
    last_use = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    steps = []
    for index, node in enumerate(graph.nodes):
        unused = tuple(slots[name] for name in dict.fromkeys(node.inputs) if last_use[name] == index)
        sources = tuple(slots[name] for name in node.inputs)
        steps.append((calls[node.name], sources, slots[node.name], unused))
    return tuple(steps), slots
