"""Weights to begin training from, by numpy alone."""

from collections.abc import Mapping
from math import prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapt.graph.network import Graph, Network, Node, Shape
from adapt.spec import derive_seed

_WITH_FILTERS = ("conv2d", "conv1d", "linear")
_CONSTANTS: Mapping[str, tuple[int, type]] = {
    "weight": (1, np.float32),
    "bias": (0, np.float32),
    "running_mean": (0, np.float32),
    "running_var": (1, np.float32),
    "num_batches_tracked": (0, np.int64),
}
OPEN_GATE = 2.0
"""The bias in front of a sigmoid, which then lets 0.88 through. Measured: with half a signal left by each of its eight
gates, and no batch norm to raise it again, SqueezeNet with squeeze-and-excitation learns nothing."""


def initial_weights(graph: Graph, seed: int) -> dict[str, NDArray[Any]]:
    """Every tensor of `graph`: filters normal with variance 2 / fan-in (He et al., 2015), 1 / fan-in in a layer whose
    scores nobody reads on, biases zero, batch norms the identity, gates open. A tensor depends on `seed` and its name
    alone."""
    read = {name for node in graph.nodes for name in node.inputs}
    weights = {
        name: _filters(name, graph.weight_shapes[name], 2 if node.name in read else 1, seed)
        if role == "weight" and node.operator in _WITH_FILTERS
        else _constant(node, role, graph.weight_shapes[name])
        for node in graph.nodes
        for role, name in node.weights.items()
    }
    gates = {node.inputs[0] for node in graph.nodes if node.operator == "sigmoid"}
    for name in (node.weights["bias"] for node in graph.nodes if node.name in gates and "bias" in node.weights):
        weights[name] += np.float32(OPEN_GATE)
    return weights


def initial_network(graph: Graph, seed: int) -> Network:
    return Network(graph, initial_weights(graph, seed))


def newly_drawn(network: Network, seed: int) -> Network:
    """The same architecture with weights to begin training from; constants that training leaves alone stay."""
    fixed = {
        name
        for node in network.graph.nodes
        if node.operator == "scale" and not node.attributes["trained"]
        for name in node.weights.values()
    }
    drawn = initial_weights(network.graph, seed)
    return Network(
        network.graph, {name: tensor if name in fixed else drawn[name] for name, tensor in network.weights.items()}
    )


def _constant(node: Node, role: str, shape: Shape) -> NDArray[Any]:
    """What changes nothing: 1 for what scales, 0 for what is added."""
    value, dtype = _CONSTANTS[role]
    if node.operator == "scale" and node.attributes["how"] in ("add", "sub"):
        value = 0
    return np.full(shape, value, dtype=dtype)


def _filters(name: str, shape: Shape, gain: int, seed: int) -> NDArray[Any]:
    """`gain` is 2 in front of an activation, which halves what goes through."""
    std = sqrt(gain / prod(shape[1:]))
    random = np.random.default_rng(derive_seed(seed, "initial", name))
    return random.standard_normal(shape, dtype=np.float32) * np.float32(std)
