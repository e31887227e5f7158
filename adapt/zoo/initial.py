"""Weights to begin training from, by numpy alone."""

from collections.abc import Mapping
from math import prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapt.graph.network import Graph, Network, Shape
from adapt.spec import derive_seed

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
        name: _tensor(role, name, graph.weight_shapes[name], 2 if node.name in read else 1, seed)
        for node in graph.nodes
        for role, name in node.weights.items()
    }
    gates = {node.inputs[0] for node in graph.nodes if node.operator == "sigmoid"}
    for name in (node.weights["bias"] for node in graph.nodes if node.name in gates and "bias" in node.weights):
        weights[name] += np.float32(OPEN_GATE)
    return weights


def initial_network(graph: Graph, seed: int) -> Network:
    return Network(graph, initial_weights(graph, seed))


def _tensor(role: str, name: str, shape: Shape, gain: int, seed: int) -> NDArray[Any]:
    """`gain` is 2 in front of an activation, which halves what goes through."""
    if len(shape) < 2:
        value, dtype = _CONSTANTS[role]
        return np.full(shape, value, dtype=dtype)
    std = sqrt(gain / prod(shape[1:]))
    random = np.random.default_rng(derive_seed(seed, "initial", name))
    return random.standard_normal(shape, dtype=np.float32) * np.float32(std)
