"""Weights that an ONNX file names more than once: a layer is applied again, or layers share, which none may."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from adapt.errors import NetworkRefused
from adapt.formats.onnx_tensors import printable
from adapt.graph.network import Network, Node, Shape
from adapt.graph.shapes import layer_name


def with_layers_joined(network: Network, sources: Mapping[str, str], shapes: Mapping[str, Shape]) -> Network:
    """Nodes that are one layer applied several times use one set of weights; `sources` says what a weight is called in
    the file, `shapes` has every value.

    Raises NetworkRefused where layers that differ share a matrix. Vectors, and matrices of one number throughout, are
    shared by exporters that store equal tensors once, and mean nothing.
    """
    owners: dict[tuple[str, int], Node] = {}
    nodes = []
    for node in network.graph.nodes:
        keys = [_key(name, network, sources) for name in node.weights.values() if _is_matrix(name, network, sources)]
        owner = next((owners[key] for key in keys if key in owners), None)
        if owner is not None:
            if not _same_layer(owner, node, network, shapes):
                shared = next(key for key in keys if key in owners)[0]
                raise NetworkRefused(
                    layer_name(node),
                    f"the weight {printable(shared)} is used by {layer_name(owner)} too, which is another layer; "
                    "weights shared by layers are not adapted",
                )
            node = replace(node, weights=owner.weights)
        owners.update(dict.fromkeys(keys, node if owner is None else owner))
        nodes.append(node)
    used = {name for node in nodes for name in node.weights.values()}
    kept = {name: shape for name, shape in network.graph.weight_shapes.items() if name in used}
    graph = replace(network.graph, nodes=tuple(nodes), weight_shapes=kept)
    return Network(graph, {name: network.weights[name] for name in kept})


def _key(name: str, network: Network, sources: Mapping[str, str]) -> tuple[str, int]:
    return sources[name], network.weights[name].size


def _is_matrix(name: str, network: Network, sources: Mapping[str, str]) -> bool:
    array = network.weights[name]
    return bool(sources.get(name)) and array.size > max(array.shape, default=1) and bool(np.ptp(array))


def _same_layer(first: Node, second: Node, network: Network, shapes: Mapping[str, Shape]) -> bool:
    same = (first.operator, first.attributes, first.weights.keys(), len(shapes[first.inputs[0]])) == (
        *(second.operator, second.attributes, second.weights.keys()),
        len(shapes[second.inputs[0]]),
    )
    return (
        same
        and shapes[first.inputs[0]][1] == shapes[second.inputs[0]][1]
        and all(
            np.array_equal(network.weights[first.weights[r]], network.weights[second.weights[r]]) for r in first.weights
        )
    )
