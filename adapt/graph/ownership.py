"""Weights as modules own them: every tensor of a layer is called `<path>.<role>`, and no two layers have one path."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from adapt.errors import NetworkRefused
from adapt.graph.network import Graph, Network, Node, Shape
from adapt.graph.shapes import layer_name


class Sharing:
    """Which node owns each weight; a layer may be applied several times, but two layers share nothing."""

    def __init__(self) -> None:
        self._owners: dict[str, tuple[Node, Shape]] = {}

    def add(self, node: Node, shape: Shape) -> bool:
        """Whether `node`, whose input has `shape`, is an earlier layer applied again.

        Raises NetworkRefused where it uses a weight of another layer.
        """
        again = False
        for name in node.weights.values():
            owner, seen = self._owners.setdefault(name, (node, shape))
            again = owner is not node
            same = (node.operator, node.weights, node.attributes) == (owner.operator, owner.weights, owner.attributes)
            if not same or (seen[1], len(seen)) != (shape[1], len(shape)):
                raise NetworkRefused(
                    layer_name(node),
                    f"the weight {name} is used by {layer_name(owner)} too, which is another layer; "
                    "weights shared by layers are not adapted",
                )
        return again


def with_owned_weights(network: Network) -> Network:
    """Renames the tensors of layers that no torch module could own by their names (F.conv2d with `self.kernel`).

    Such a layer's tensors are called after the module that it is, where no other tensor is below that one (a
    convolution with a computed kernel), or after its node. Everything else keeps its state_dict name.
    """
    paths: dict[str, Mapping[str, str]] = {}
    renamed: dict[str, str] = {}
    nodes = []
    for node in network.graph.nodes:
        if node.weights and all(name in renamed for name in node.weights.values()):  # applied again
            node = replace(node, weights={role: renamed[name] for role, name in node.weights.items()})
        path = _path(node)
        if node.weights and (path is None or paths.get(path, node.weights) != node.weights):
            path = _free_path(node, network.graph, paths)
            renamed.update({name: f"{path}.{role}" for role, name in node.weights.items()})
            node = replace(node, weights={role: f"{path}.{role}" for role in node.weights})
        if path is not None and node.weights:
            paths.setdefault(path, node.weights)
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


def _free_path(node: Node, graph: Graph, paths: Iterable[str]) -> str:
    below = f"{node.layer}."
    others = [name for name in graph.weight_shapes if name not in node.weights.values()]
    if node.layer and not any(
        f"{name}.".startswith(below) or below.startswith(f"{name}.") for name in (*others, *paths)
    ):
        return node.layer
    path, tops = node.name, {name.partition(".")[0] for name in (*graph.weight_shapes, *paths)}
    while path in tops:
        path += "_"
    return path
