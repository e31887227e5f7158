"""Weights as modules own them: every tensor of a layer is called `<path>.<role>`, and no two layers have one path."""

from dataclasses import replace

from adapt.graph.network import Graph, Network, Node


def with_owned_weights(network: Network) -> Network:
    """Renames the tensors of layers that no torch module could own by their names (F.conv2d with `self.kernel`).

    Such a layer's tensors are called after its node. Everything else keeps its state_dict name.
    """
    paths: set[str] = set()
    renamed: dict[str, str] = {}
    nodes = []
    for node in network.graph.nodes:
        path = _path(node)
        if node.weights and (path is None or path in paths):
            path = _free_path(node.name, network.graph, paths)
            renamed.update({name: f"{path}.{role}" for role, name in node.weights.items()})
            node = replace(node, weights={role: f"{path}.{role}" for role in node.weights})
        if path is not None and node.weights:
            paths.add(path)
        nodes.append(node)
    if not renamed:
        return network
    shapes = {renamed.get(name, name): shape for name, shape in network.graph.weight_shapes.items()}
    graph = replace(network.graph, nodes=tuple(nodes), weight_shapes=shapes)
    return Network(graph, {renamed.get(name, name): tensor for name, tensor in network.weights.items()})


def _path(node: Node) -> str | None:
    """The path that all weights of the node share, None when there is no such."""
    found = {
        name.removesuffix(f".{role}") if name.endswith(f".{role}") else None for role, name in node.weights.items()
    }
    return found.pop() if len(found) == 1 else None


def _free_path(path: str, graph: Graph, paths: set[str]) -> str:
    tops = {name.partition(".")[0] for name in graph.weight_shapes} | paths
    while path in tops:
        path += "_"
    return path
