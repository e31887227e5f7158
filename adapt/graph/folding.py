"""Batch norms worked into the layers before them: what every runtime does, and what a quantised network needs.

A batch norm of its own would be computed in float32 between two conversions, and a layer's weights would be quantised
before their true scale is known.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapt.graph.network import Graph, Network, Node

_WITH_FILTERS = ("conv2d", "linear")


def with_folded_batch_norms(network: Network) -> Network:
    """`network` without those batch norms that alone follow a convolution or linear layer; it computes the same.

    The layer takes the place and the name of its batch norm, so every other value keeps its name.
    """
    graph, weights = network.graph, dict(network.weights)
    consumers = Counter(name for node in graph.nodes for name in node.inputs)
    layers = {
        node.name: node
        for node in graph.nodes
        if node.operator in _WITH_FILTERS and consumers[node.name] == 1 and node.name != graph.output
    }
    nodes: list[Node] = []
    for node in graph.nodes:
        before = layers.get(node.inputs[0]) if node.operator == "batch_norm" else None
        if before is not None:
            nodes.remove(before)
            node = _folded(before, node, weights)
        nodes.append(node)
    shapes = {name: weights[name].shape for node in nodes for name in node.weights.values()}
    folded: Graph = replace(graph, nodes=tuple(nodes), weight_shapes=shapes)
    return Network(folded, {name: weights[name] for name in shapes})


def _folded(layer: Node, norm: Node, weights: dict[str, NDArray[Any]]) -> Node:
    """One layer under the batch norm's name. Its tensors, added to `weights`, are its own: a layer that is applied
    twice may be followed by two batch norms."""
    scale, shift = _scale_and_shift(norm, weights)
    filters = weights[layer.weights["weight"]].astype(np.float64)
    bias = weights[layer.weights["bias"]] if "bias" in layer.weights else 0.0
    made = {"weight": filters * scale.reshape(-1, *[1] * (filters.ndim - 1)), "bias": bias * scale + shift}
    names = {role: f"{norm.name}.folded.{role}" for role in made}
    weights.update({names[role]: tensor.astype(np.float32) for role, tensor in made.items()})
    return replace(layer, name=norm.name, weights=names)


def _scale_and_shift(norm: Node, weights: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """What the batch norm multiplies and adds, [channels] float64."""
    found = {role: weights[name].astype(np.float64) for role, name in norm.weights.items()}
    epsilon: Any = norm.attributes["eps"]
    scale = found.get("weight", 1.0) / np.sqrt(found["running_var"] + epsilon)
    return scale, found.get("bias", 0.0) - found["running_mean"] * scale
