"""Weights to begin training from, by numpy alone."""

from collections.abc import Mapping
from math import prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapt.graph.network import Graph, Network, Node
from adapt.spec import derive_seed

_CONSTANTS: Mapping[str, tuple[int, type]] = {
    "weight": (1, np.float32),
    "bias": (0, np.float32),
    "running_mean": (0, np.float32),
    "running_var": (1, np.float32),
    "num_batches_tracked": (0, np.int64),
}


def initial_weights(graph: Graph, seed: int) -> dict[str, NDArray[Any]]:
    """Every tensor of `graph`: filters normal with variance 2 / fan-in (He et al., 2015), 1 / fan-in in the
    output layer, biases zero, batch norms the identity. A tensor depends on `seed` and its name alone."""
    return {name: _tensor(graph, node, role, name, seed) for node in graph.nodes for role, name in node.weights.items()}


def initial_network(graph: Graph, seed: int) -> Network:
    return Network(graph, initial_weights(graph, seed))


def _tensor(graph: Graph, node: Node, role: str, name: str, seed: int) -> NDArray[Any]:
    shape = graph.weight_shapes[name]
    if len(shape) < 2:
        value, dtype = _CONSTANTS[role]
        return np.full(shape, value, dtype=dtype)
    gain = 1 if node.name == graph.output else 2  # no activation halves the scores
    std = sqrt(gain / prod(shape[1:]))
    random = np.random.default_rng(derive_seed(seed, "initial", name))
    return random.standard_normal(shape, dtype=np.float32) * np.float32(std)
