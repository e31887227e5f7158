"""Mutations of protobuf messages, field by field: what an ONNX file is made of."""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

_INTEGERS = (0, 1, -1, 2, 3, 4, 7, 8, 16, 64, 1000, 2**24 + 1, 2**31 - 1, -(2**31), 2**62, 2**63 - 1, -(2**63))
_REALS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 3e38, float("inf"), float("-inf"), float("nan"))
_TEXTS = (
    "",
    "x",
    "a\0b",
    "é😀",
    "../../etc/passwd",
    "y" * 3000,
    "ai.onnx.ml",
    "Loop",
    "If",
    "Scan",
    "Identity",
    "Shape",
)
Place = tuple[Any, Any]  # a message and one of its fields


def mutated_model(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """The ONNX file after one to four changes of its messages, kept in protobuf's own form."""
    model = ModelProto.FromString(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        rng.choice(_STEPS)(model, rng)
    if rng.random() < 0.03:
        _merge(model, rng.choice(others))
    return bytes(model.SerializeToString())


def _merge(model: Any, other: bytes) -> None:
    try:
        model.MergeFromString(other)
    except DecodeError:  # a text of ours that is no UTF-8
        return


def _messages(message: Message) -> Iterator[Any]:
    level: list[Any] = [message]
    while level:
        found = level.pop()
        yield found
        for field, value in found.ListFields():
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                level += value if field.is_repeated else [value]


def _field(model: Any, rng: Random) -> None:
    """Some field of some message: set anew, emptied, made longer or shorter."""
    message = rng.choice([*_messages(model)])
    fields = [field for field, _ in message.ListFields()]
    if rng.random() < 0.2 or not fields:
        fields = list(message.DESCRIPTOR.fields)
    field = rng.choice(fields)
    if field.is_repeated:
        _change_list(getattr(message, field.name), field, rng)
    elif rng.random() < 0.15:
        message.ClearField(field.name)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(message, field.name).SetInParent()
    else:
        setattr(message, field.name, _value(field, rng, model))


def _change_list(values: Any, field: Any, rng: Random) -> None:
    how = rng.choice(("drop", "twice", "swap", "set", "many"))
    at = rng.randrange(len(values)) if values else 0
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        if how == "set" or not values:
            values.add()
        elif how == "drop":
            del values[at]
        else:
            for _ in range(60 if how == "many" else 1):
                values.add().CopyFrom(values[at])
    elif how == "drop" and values:
        del values[at]
    elif how == "set" and values:
        values[at] = _value(field, rng, None)
    elif how == "swap" and values:
        other = rng.randrange(len(values))
        values[at], values[other] = values[other], values[at]
    else:
        values.extend([_value(field, rng, None)] * (200 if how == "many" else 1))


def _value(field: Any, rng: Random, model: Any) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        text = _name(model, rng) if model is not None and rng.random() < 0.6 else rng.choice(_TEXTS)
        return (
            text if field.type == FieldDescriptor.TYPE_STRING else rng.choice((text.encode(), rng.randbytes(12), b""))
        )
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return rng.choice(_REALS)
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return rng.choice([value.number for value in field.enum_type.values])
    value = rng.choice(_INTEGERS)
    if kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32):
        value = (value + 2**31) % 2**32 - 2**31
    return abs(value) if kind in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64) else value


def _name(model: Any, rng: Random) -> str:
    """One of the names that the graph's values have, or an operator's."""
    node = rng.choice(model.graph.node) if model.graph.node else NodeProto()
    names = [*node.input, *node.output, node.op_type, *(tensor.name for tensor in model.graph.initializer)]
    return str(rng.choice(names or ["x"]))


def _rewire(model: Any, rng: Random) -> None:
    """An input that nobody computes, a later value, the node's own result; a result under another's name."""
    if not model.graph.node:
        return
    node = rng.choice(model.graph.node)
    ends = node.input if rng.random() < 0.7 or not node.output else node.output
    if ends:
        ends[rng.randrange(len(ends))] = rng.choice((_name(model, rng), *node.output, "nobody", ""))


def _reshape(model: Any, rng: Random) -> None:
    if model.graph.initializer:
        tensor = rng.choice(model.graph.initializer)
        dims = rng.choice(
            (list(tensor.dims)[::-1], [*tensor.dims, 1], [rng.choice(_INTEGERS)], [], [0], [2**32, 2**32])
        )
        del tensor.dims[:]
        tensor.dims.extend(dims)


def _retype(model: Any, rng: Random) -> None:
    if model.graph.initializer:
        tensor = rng.choice(model.graph.initializer)
        tensor.data_type = rng.randint(0, 26)
        if rng.random() < 0.3:
            tensor.raw_data = b""
            tensor.float_data.extend([rng.choice(_REALS)] * rng.randint(0, 40))


def _outside(model: Any, rng: Random) -> None:
    """Data in another file, as large networks have it."""
    if model.graph.initializer:
        tensor = rng.choice(model.graph.initializer)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (
            ("location", rng.choice(("/etc/passwd", "../net.onnx", "http://a.b/c"))),
            ("length", "9999"),
        ):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value


def _nest(model: Any, rng: Random) -> None:
    """A node with a graph of its own: the whole network, or graphs within graphs."""
    node = model.graph.node.add()
    node.op_type, node.output[:] = rng.choice(("If", "If", "Loop", "Scan", "Identity")), ["nested"]
    inner: Any = GraphProto()
    inner.CopyFrom(model.graph) if rng.random() < 0.5 else inner.node.add()
    for _ in range(rng.choice((1, 3, 40))):
        outer: Any = GraphProto()
        holder = outer.node.add()
        holder.op_type, holder.output[:] = "If", ["inner"]
        for name in ("then_branch", "else_branch"):
            branch = holder.attribute.add()
            branch.name, branch.type = name, AttributeProto.GRAPH
            if name == "then_branch":
                branch.g.CopyFrom(inner)
        outer.output.add().name = "inner"
        inner = outer
    attribute = node.attribute.add()
    attribute.name, attribute.type = "then_branch", AttributeProto.GRAPH
    attribute.g.CopyFrom(inner)


def _attribute(model: Any, rng: Random) -> None:
    """Numbers, lists and kinds of one node's attributes."""
    nodes = [node for node in model.graph.node if node.attribute]
    if not nodes:
        return
    attribute = rng.choice(rng.choice(nodes).attribute)
    how = rng.randrange(4)
    if how == 0:
        attribute.type = rng.randint(0, 14)
    elif how == 1:
        attribute.i = rng.choice(_INTEGERS)
    elif how == 2 and attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(_INTEGERS)
    else:
        attribute.ints[:] = [rng.choice(_INTEGERS) for _ in range(rng.choice((0, 1, 2, 3, 4, 5, 8)))]


def _operator(model: Any, rng: Random) -> None:
    """Another operator on the same values."""
    if model.graph.node:
        known = [node.op_type for node in model.graph.node]
        others = (
            "Reshape",
            "Transpose",
            "Concat",
            "Split",
            "Slice",
            "Pad",
            "Resize",
            "Gather",
            "Expand",
            "Tile",
            "Range",
        )
        rng.choice(model.graph.node).op_type = rng.choice((*known, *others, "ConstantOfShape", "Pow", "Einsum", "Mod"))


def _stated_shape(model: Any, rng: Random) -> None:
    """What the file says of its input, its output and the values between."""
    graph = model.graph
    info = rng.choice([*graph.input, *graph.output, *graph.value_info] or [graph.input.add()])
    sizes = info.type.tensor_type.shape.dim
    if sizes and rng.random() < 0.7:
        size = rng.choice(sizes)
        size.dim_value = rng.choice(_INTEGERS)
    else:
        sizes.add().dim_value = rng.choice(_INTEGERS)


_STEPS: tuple[Callable[[Any, Random], None], ...] = (
    *(_field, _field, _field, _field, _rewire, _rewire, _reshape, _reshape, _retype, _outside, _nest, _attribute),
    *(_attribute, _operator, _operator, _stated_shape),
)
