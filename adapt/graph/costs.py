"""Mult-adds, parameters and memory of a network, counted from its graph alone. Needs no torch."""

from dataclasses import dataclass
from math import prod

from adapt.errors import NetworkRefused
from adapt.graph.network import Graph
from adapt.graph.operators import OPERATORS
from adapt.graph.shapes import infer_shapes, layer_name
from adapt.spec import Resource

FLOAT_BYTES = 4
_NOT_TRAINED = frozenset({"running_mean", "running_var", "num_batches_tracked"})


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Of one image: mult-adds of convolutions and linear layers, as papers count them; trainable parameters
    (weights, biases, batch norm's scale and shift, not its statistics); bytes of all weights and all activations
    in float32, the input included."""

    macs: int
    params: int
    memory_bytes: int

    @property
    def resources(self) -> dict[Resource, float]:
        """All that a budget may limit and that no clock is needed for."""
        return {"macs": self.macs, "params": self.params, "memory_bytes": self.memory_bytes}


@dataclass(frozen=True, kw_only=True)
class NodeCosts(Costs):
    """The share of one node; `memory_bytes` is its output and its weights, 0 for an output that is only a view."""

    name: str


def node_costs(graph: Graph) -> tuple[NodeCosts, ...]:
    """One entry per node, in their order. Raises NetworkRefused where shapes do not fit."""
    shapes = infer_shapes(graph)
    entries = []
    counted: set[str] = set()
    for node in graph.nodes:
        operator, output = OPERATORS[node.operator], shapes[node.name]
        weights = {role: graph.weight_shapes[name] for role, name in node.weights.items()}
        trained = stored = 0
        for role, shape in weights.items():
            size = 0 if node.weights[role] in counted else prod(shape)  # of a layer applied twice once
            stored += size
            trained += 0 if role in _NOT_TRAINED else size
        counted.update(node.weights.values())
        held = stored + (prod(output) if operator.allocates else 0)
        entries.append(
            NodeCosts(
                name=node.name, macs=operator.macs(output, weights), params=trained, memory_bytes=held * FLOAT_BYTES
            )
        )
    return tuple(entries)


def check_memory(graph: Graph, limit_bytes: int) -> None:
    """Raises NetworkRefused, naming the node that takes most, when one image takes more than `limit_bytes`."""
    needed = costs(graph).memory_bytes
    if needed > limit_bytes:
        largest = max(node_costs(graph), key=lambda entry: entry.memory_bytes)
        node = next(node for node in graph.nodes if node.name == largest.name)
        raise NetworkRefused(
            layer_name(node),
            f"its output {list(infer_shapes(graph)[node.name])} and weights take {largest.memory_bytes >> 20} MiB, "
            f"the network {needed >> 20} MiB for one image; {limit_bytes >> 20} MiB are allowed "
            "(limit max_network_bytes): export the network for smaller images",
        )


def costs(graph: Graph) -> Costs:
    """The whole network's costs for one input. Raises NetworkRefused where shapes do not fit."""
    entries = node_costs(graph)
    return Costs(
        macs=sum(entry.macs for entry in entries),
        params=sum(entry.params for entry in entries),
        memory_bytes=prod(graph.input_shape) * FLOAT_BYTES + sum(entry.memory_bytes for entry in entries),
    )
