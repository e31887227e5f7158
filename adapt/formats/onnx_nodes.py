"""One ONNX node as plain values. What holds code of its own (subgraphs, other domains) is refused here, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnx import AttributeProto, NodeProto

from adapt.errors import NetworkRefused, UnsupportedOperator
from adapt.formats.onnx_tensors import printable, text

STANDARD_DOMAINS = ("", "ai.onnx")
_MOST_NUMBERS = 10_000
_PLAIN = {AttributeProto.FLOAT: "f", AttributeProto.INT: "i", AttributeProto.STRING: "s", AttributeProto.TENSOR: "t"}
_LISTS = {AttributeProto.FLOATS: "floats", AttributeProto.INTS: "ints"}
_SUBGRAPHS = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


@dataclass(frozen=True, kw_only=True)
class OnnxNode:
    """`where` is how errors name the node. An input or output of "" is one that is left out."""

    op_type: str
    name: str
    where: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


def parse_node(proto: NodeProto, index: int) -> OnnxNode:
    """Raises UnsupportedOperator for a node of another domain or with a subgraph, NetworkRefused for odd attributes."""
    where = printable(proto.name or next(iter(proto.output), "")) or f"node {index}"
    op_type = printable(proto.op_type, 100)
    if text(proto.domain) not in STANDARD_DOMAINS:
        domain = printable(proto.domain, 100)
        raise UnsupportedOperator(where, f"{domain}::{op_type}", "only operators of ONNX itself are read")
    attributes: dict[str, Any] = {}
    for attribute in proto.attribute:
        name = printable(attribute.name, 80)
        if name in attributes:
            raise NetworkRefused(where, f"the attribute {name} is given twice")
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
    )


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
