"""The architecture text of our safetensors files, read as a stranger's: every operator, name and shape is checked."""

from collections.abc import Mapping
from re import Pattern
from typing import Any

from adapt.errors import NetworkRefused, UnsupportedOperator
from adapt.formats.aten import checked_attributes
from adapt.formats.names import LAYER_NAME, VALUE_NAME, WEIGHT_NAME
from adapt.formats.pt2_graph import MAX_NODES
from adapt.formats.strict_json import member, of_type
from adapt.formats.tensors import check_shape
from adapt.graph.network import Graph, Node, Shape
from adapt.graph.operators import OPERATORS
from adapt.graph.ownership import Sharing
from adapt.graph.shapes import check_classifier, infer_shapes

VERSION = 1


def read_architecture(document: Mapping[str, Any]) -> Graph:
    """A graph from parsed JSON (`Graph.to_json`). Raises NetworkRefused or UnsupportedOperator naming the node."""
    where = "architecture"
    version = member(document, "version", int, where)
    if version != VERSION:
        raise NetworkRefused(where, f"version {version} is not known; this release reads version {VERSION}")
    entry = member(document, "input", dict, where)
    image = check_shape(member(entry, "shape", list, where), f"{where}: input")
    if len(image) != 3:
        raise NetworkRefused(f"{where}: input", f"has the shape {list(image)}, [C, H, W] is expected")
    documents = member(document, "nodes", list, where)
    if len(documents) > MAX_NODES:
        raise NetworkRefused(where, f"has {len(documents)} nodes, {MAX_NODES} are allowed")
    graph = Graph(
        input_name=_matching(VALUE_NAME, member(entry, "name", str, where), where),
        input_shape=(image[0], image[1], image[2]),
        nodes=tuple(_read_node(node, f"{where}: node {index}") for index, node in enumerate(documents)),
        output=member(document, "output", str, where),
        weight_shapes=_read_shapes(member(document, "weight_shapes", dict, where)),
    )
    _check_names(graph)
    check_classifier(graph, infer_shapes(graph))
    return graph


def _read_shapes(document: dict[str, Any]) -> dict[str, Shape]:
    return {
        _matching(WEIGHT_NAME, name, "weight_shapes"): check_shape(of_type(sizes, list, name), name)
        for name, sizes in document.items()
    }


def _read_node(document: Any, where: str) -> Node:
    name = _matching(VALUE_NAME, member(document, "name", str, where), where)
    operator = OPERATORS.get(member(document, "operator", str, where))
    if operator is None:
        raise UnsupportedOperator(where, ascii(document["operator"][:100])[1:-1])
    inputs = [
        _matching(VALUE_NAME, of_type(item, str, where), where) for item in member(document, "inputs", list, where)
    ]
    if len(inputs) != operator.arity and (operator.arity or not inputs):
        raise NetworkRefused(where, f"{operator.name} takes {operator.arity or 'some'} inputs, {len(inputs)} are given")
    weights = {
        role: _matching(WEIGHT_NAME, of_type(weight, str, where), where)
        for role, weight in member(document, "weights", dict, where).items()
    }
    if odd := weights.keys() - operator.weights.keys():
        raise NetworkRefused(where, f"{operator.name} has no weight called {sorted(odd)[0][:40]!a}")
    if missing := [role for role, needed in operator.weights.items() if needed and role not in weights]:
        raise NetworkRefused(where, f"{operator.name} needs a {missing[0]}")
    attributes = member(document, "attributes", dict, where)
    if odd := attributes.keys() - operator.attributes.keys():
        raise NetworkRefused(where, f"{operator.name} has no attribute called {sorted(odd)[0][:40]!a}")
    return Node(
        name=name,
        operator=operator.name,
        inputs=tuple(inputs),
        attributes=checked_attributes(operator, attributes, where),
        weights=weights,
        layer=_matching(LAYER_NAME, member(document, "layer", str, where), where),
    )


def _check_names(graph: Graph) -> None:
    """Values are named once; a weight belongs to one layer, under `<path>.<role>`, and no two layers share a path."""
    values = {graph.input_name}
    for node in graph.nodes:
        if node.name in values:
            raise NetworkRefused(node.name, "is the name of two values")
        values.add(node.name)
    shapes, sharing = infer_shapes(graph), Sharing()
    used: set[str] = set()
    paths: set[str] = set()
    for node in graph.nodes:
        if not node.weights or sharing.add(node, shapes[node.inputs[0]]):
            continue
        found = {name[: -len(role) - 1] if name.endswith(f".{role}") else "" for role, name in node.weights.items()}
        if len(found) != 1 or "" in found or found & paths:
            raise NetworkRefused(node.name, "its weights must be called <path>.<role>, with a path of their own")
        paths |= found
        used.update(node.weights.values())
    if odd := used ^ graph.weight_shapes.keys():
        raise NetworkRefused(sorted(odd)[0], "is not both in the weight_shapes and used by a node")


def _matching(pattern: Pattern[str], name: str, where: str) -> str:
    if not pattern.fullmatch(name):
        raise NetworkRefused(where, f"{name[:80]!a} is no name that can stand there")
    return name
