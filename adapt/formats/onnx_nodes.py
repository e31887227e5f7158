"""One ONNX node as plain values. What holds code of its own (loops, other domains) is refused here, by name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from onnx import AttributeProto, GraphProto, NodeProto

from adapt.errors import NetworkRefused, UnsupportedOperator
from adapt.formats.onnx_tensors import printable, text

STANDARD_DOMAINS = ("", "ai.onnx")
_MOST_NUMBERS = 10_000
_PLAIN = {AttributeProto.FLOAT: "f", AttributeProto.INT: "i", AttributeProto.STRING: "s", AttributeProto.TENSOR: "t"}
_LISTS = {AttributeProto.FLOATS: "floats", AttributeProto.INTS: "ints"}
_SUBGRAPHS = (AttributeProto.GRAPH, AttributeProto.GRAPHS)
_MOST_IN_BRANCH = 100
_BRANCHES = ("then_branch", "else_branch")


@dataclass(frozen=True, kw_only=True)
class Branch:
    """What an If does in one of its two cases."""

    nodes: tuple["OnnxNode", ...]
    output: str


@dataclass(frozen=True, kw_only=True)
class OnnxNode:
    """`where` is how errors name the node. An input or output of "" is one that is left out."""

    op_type: str
    name: str
    where: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    branches: Mapping[str, Branch] = field(default_factory=dict)

    def needs(self) -> Iterator[str]:
        """The values that it takes, those that its branches take included."""
        yield from self.inputs
        for branch in self.branches.values():
            yield branch.output
            for node in branch.nodes:
                yield from node.needs()


def parse_node(proto: NodeProto, index: int) -> OnnxNode:
    """Raises UnsupportedOperator for a node of another domain or with a subgraph, NetworkRefused for odd attributes."""
    where = printable(proto.name or next(iter(proto.output), "")) or f"node {index}"
    op_type = printable(proto.op_type, 100)
    if text(proto.domain) not in STANDARD_DOMAINS:
        domain = printable(proto.domain, 100)
        raise UnsupportedOperator(
            where, f"{domain}::{op_type}", "only operators of ONNX itself are read; save the model as exported"
        )
    if "quantize" in op_type.lower() or op_type.startswith("QLinear") or op_type.endswith("Integer"):
        raise UnsupportedOperator(where, op_type, "export the network in floating point, not quantised")
    attributes: dict[str, Any] = {}
    branches: dict[str, Branch] = {}
    for attribute in proto.attribute:
        name = printable(attribute.name, 80)
        if name in attributes:
            raise NetworkRefused(where, f"the attribute {name} is given twice")
        if op_type == "If" and name in _BRANCHES and attribute.type == AttributeProto.GRAPH:
            branches[name] = _branch(attribute.g, where)
            continue
        if attribute.type in _SUBGRAPHS:
            raise UnsupportedOperator(where, op_type, "it holds a graph of its own (control flow)")
        attributes[name] = _attribute(attribute, f"{where}: {name}")
    if not any(proto.output):
        raise NetworkRefused(where, f"{op_type} has no result")
    return OnnxNode(
        op_type=op_type,
        name=text(proto.name),
        where=where,
        inputs=tuple(text(name) for name in proto.input),
        outputs=tuple(text(name) for name in proto.output),
        attributes=attributes,
        branches=branches,
    )


def _branch(proto: GraphProto, where: str) -> Branch:
    plain = not (proto.input or proto.initializer or proto.sparse_initializer)
    if len(proto.output) != 1 or len(proto.node) > _MOST_IN_BRANCH or not plain:
        raise UnsupportedOperator(where, "If", "with a branch that is more than a few nodes and one result")
    nodes = tuple(parse_node(node, index) for index, node in enumerate(proto.node))
    return Branch(nodes=nodes, output=text(proto.output[0].name))


def _attribute(attribute: AttributeProto, where: str) -> Any:
    if attribute.ref_attr_name:
        raise NetworkRefused(where, "refers to an attribute of a function; only plain attributes are read")
    if attribute.type in _LISTS:
        values = list(getattr(attribute, _LISTS[attribute.type]))
        if len(values) > _MOST_NUMBERS:
            raise NetworkRefused(where, f"has {len(values)} numbers, {_MOST_NUMBERS} are allowed")
        return values
    if attribute.type not in _PLAIN:
        raise NetworkRefused(where, f"is of the kind {_kind(attribute.type)}, which is not read")
    value = getattr(attribute, _PLAIN[attribute.type])
    return value.decode("ascii", errors="backslashreplace")[:200] if isinstance(value, bytes) else value


def _kind(number: int) -> str:
    known = AttributeProto.AttributeType
    return str(known.Name(number)) if number in known.values() else str(number)
