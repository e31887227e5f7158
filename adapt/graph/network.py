"""A network as data: the one value that every reader makes and everything else reads. Needs no torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

Shape = tuple[int, ...]
Attribute = bool | int | float | str | tuple[int, ...] | None
Weights = Mapping[str, NDArray[Any]]
"""Tensors by their original state_dict name: float32, and int64 for batch-norm counters."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator applied once; its single output value carries the node's own name.

    `operator` is a key of the operator table; `inputs` name earlier nodes or the graph's input;
    `weights` maps the operator's roles ("weight", "bias", "running_mean" ...) to state_dict names;
    `layer` is the module's path in the user's own network ("features.3.conv"), for people to read.
    What follows from shapes (the groups of a convolution, channel counts) is never stored: it would go stale.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    layer: str = ""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Nodes in topological order from one input [N, C, H, W] to one output [N, classes].

    `input_shape` is (C, H, W). `weight_shapes` is the only place where channel counts stand, so a pruned
    candidate is the same nodes with other shapes (`with_weight_shapes`).
    """

    input_name: str
    input_shape: tuple[int, int, int]
    nodes: tuple[Node, ...]
    output: str
    weight_shapes: Mapping[str, Shape]

    def with_weight_shapes(self, changed: Mapping[str, Shape]) -> "Graph":
        """The same nodes with other tensor shapes; names not in `changed` keep theirs."""
        return replace(self, weight_shapes={**self.weight_shapes, **changed})

    def to_json(self) -> str:
        """Canonical text (sorted keys, no white space), the `architecture` of our safetensors files."""
        document = {
            "version": 1,
            "input": {"name": self.input_name, "shape": list(self.input_shape)},
            "output": self.output,
            "nodes": [
                {
                    "name": node.name,
                    "operator": node.operator,
                    "inputs": list(node.inputs),
                    "attributes": dict(node.attributes),
                    "weights": dict(node.weights),
                    "layer": node.layer,
                }
                for node in self.nodes
            ],
            "weight_shapes": {name: list(shape) for name, shape in self.weight_shapes.items()},
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Network:
    """A graph and the tensors that its nodes name."""

    graph: Graph
    weights: Weights


def graph_from_json(document: Mapping[str, Any]) -> Graph:
    """The graph of a parsed `to_json` document that we wrote; a stranger's goes through the checking reader.

    Raises KeyError, TypeError or ValueError where the document is not of that form.
    """
    if document["version"] != 1:
        raise ValueError(f"architecture version {document['version']!r} is not known; this release reads version 1")
    channels, height, width = document["input"]["shape"]
    return Graph(
        input_name=document["input"]["name"],
        input_shape=(channels, height, width),
        nodes=tuple(_node_from_json(node) for node in document["nodes"]),
        output=document["output"],
        weight_shapes={name: tuple(shape) for name, shape in document["weight_shapes"].items()},
    )


def _node_from_json(node: Mapping[str, Any]) -> Node:
    return Node(
        name=node["name"],
        operator=node["operator"],
        inputs=tuple(node["inputs"]),
        attributes={key: _attribute(value) for key, value in node["attributes"].items()},
        weights=dict(node["weights"]),
        layer=node["layer"],
    )


def _attribute(value: bool | int | float | str | Sequence[int] | None) -> Attribute:
    return tuple(value) if isinstance(value, list) else value  # type: ignore[return-value]  # JSON has no tuples
