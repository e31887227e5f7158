"""One aten node of an exported file, matched with the operator table."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from adapt.errors import NetworkRefused, UnsupportedOperator
from adapt.formats.names import LAYER_NAME, VALUE_NAME
from adapt.formats.strict_json import member, of_type, only_member
from adapt.graph.network import Attribute, Shape
from adapt.graph.operators import READINGS
from adapt.graph.operators.operator import BATCH, Aten, Call, Operator

_PLAIN = {"as_int": int, "as_float": float, "as_bool": bool, "as_string": str}
_MOST_RESULTS = 64
_LISTS = {"as_ints": int, "as_floats": float, "as_bools": bool}


@dataclass(frozen=True)
class Reference:
    """An argument that is an earlier tensor value or a weight's placeholder."""

    name: str


@dataclass(frozen=True)
class SymbolReference:
    """An argument that is the result of an earlier sym_size node."""

    name: str


@dataclass(frozen=True)
class Opaque:
    """An argument of a kind that no operator needs (devices, memory formats, expressions)."""

    kind: str


@dataclass(frozen=True, kw_only=True)
class AtenNode:
    """A node as the file states it; `where` is how errors name it."""

    target: str
    output: str
    arguments: Mapping[str, Any]
    layer: str

    @property
    def where(self) -> str:
        return self.layer or self.output


_FIRST_RESULT = frozenset(
    f"torch.ops.aten.{name}"
    for name in (
        "adaptive_max_pool2d.default",
        "max_pool2d_with_indices.default",
        "_native_batch_norm_legit_no_training.default",
        "_native_batch_norm_legit.no_stats",
        "native_layer_norm.default",
        "native_group_norm.default",
        "native_dropout.default",
        "max.dim",
        "min.dim",
    )
)
"""Of several results only the first is a value; whoever uses another is refused for that."""

RESULT = "result"
"""The argument that tells the results of one node apart: which of them this is."""


def parse_nodes(document: Any, index: int) -> list[AtenNode]:
    """The node, once for each tensor of a result that is a list of tensors (split, chunk), told apart by RESULT.

    Raises NetworkRefused for a node of another form: several results, odd names.
    """
    place = f"models/model.json: node {index}"
    outputs = member(document, "outputs", list, place)
    if len(outputs) != 1 or "as_tensors" not in of_type(outputs[0], dict, place):
        return [_parse_node(document, index, outputs)]
    results = of_type(only_member(outputs[0], place)[1], list, place)
    if len(results) > _MOST_RESULTS:
        raise NetworkRefused(place, f"has {len(results)} results, {_MOST_RESULTS} are allowed")
    nodes = [_parse_node(document, index, [{"as_tensor": result}]) for result in results]
    return [replace(node, arguments={**node.arguments, RESULT: number}) for number, node in enumerate(nodes)]


def _parse_node(document: Any, index: int, outputs: list[Any]) -> AtenNode:
    place = f"models/model.json: node {index}"
    target = member(document, "target", str, place)
    layer = _layer(document)
    where = layer or place
    if not target.startswith("torch.ops."):
        raise UnsupportedOperator(where, ascii(target[:100]))
    if len(outputs) > 1 and target not in _FIRST_RESULT:
        raise UnsupportedOperator(where, ascii(target[:100])[1:-1], "it has several results")
    output = "" if not outputs else _output_name(outputs[0], target, where)
    arguments: dict[str, Any] = {}
    for argument in member(document, "inputs", list, place):
        name = member(argument, "name", str, place)
        if name in arguments:
            raise NetworkRefused(where, f"argument {name[:80]!a} is given twice")
        arguments[name] = _value(member(argument, "arg", dict, place), where)
    return AtenNode(target=target, output=output, arguments=arguments, layer=layer)


def value_name(value: Any, where: str) -> str:
    name = of_type(value, str, where)
    if not VALUE_NAME.fullmatch(name):
        raise NetworkRefused(where, f"{name[:80]!a} is no name that a value may have")
    return name


def _output_name(output: Any, target: str, where: str) -> str:
    tag, value = only_member(output, where)
    if tag == "as_tensor":
        return value_name(member(value, "name", str, where), where)
    if tag == "as_sym_int":
        return value_name(member(value, "as_name", str, where), where)
    raise UnsupportedOperator(where, ascii(target[:100]), f"its result is no tensor ({tag[:40]!a})")


def _value(argument: dict[str, Any], where: str) -> Any:
    tag, value = only_member(argument, where)
    if tag == "as_tensor":
        return Reference(value_name(member(value, "name", str, where), where))
    if tag == "as_none":
        return None
    if tag in _PLAIN:
        return of_type(value, _PLAIN[tag], where)
    if tag == "as_tensors":
        return [Reference(value_name(member(item, "name", str, where), where)) for item in of_type(value, list, where)]
    if tag in _LISTS:
        return [of_type(item, _LISTS[tag], where) for item in of_type(value, list, where)]
    if tag == "as_sym_int":
        return _symbol(value, where)
    if tag == "as_sym_ints":
        return [_symbol(item, where) for item in of_type(value, list, where)]
    return Opaque(tag)


def references(value: Any) -> list[Reference]:
    """The tensors of an argument: one, a list of them, or none."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, Reference)]


def _symbol(value: Any, where: str) -> Any:
    tag, inner = only_member(value, where)
    if tag == "as_int":
        return of_type(inner, int, where)
    if tag == "as_name":
        return SymbolReference(value_name(inner, where))
    return Opaque(tag)


def _layer(document: Any) -> str:
    """The module's path from the trace's "L__self__features.0,features.0,torch...;..." text, for people to read."""
    metadata = document.get("metadata")
    stack = metadata.get("nn_module_stack") if isinstance(metadata, dict) else None
    if not isinstance(stack, str):
        return ""
    fields = stack.rpartition(";")[2].split(",")
    path = re.sub(r"@\d+", "", fields[1]) if len(fields) > 1 else ""
    return path if LAYER_NAME.fullmatch(path) else ""


def find_reading(node: AtenNode, call: Call, inputs: frozenset[str]) -> tuple[Operator, Aten]:
    """The row of the operator table that reads `node`, whose tensor arguments are `inputs` and `call.weights`.

    Raises UnsupportedOperator, naming the target.
    """
    candidates = READINGS.get(node.target, ())
    for operator, reading in candidates:
        # Which arguments are tensors decides between x + y and x + 3: torch spells them alike.
        if (
            inputs == frozenset(reading.inputs)
            and call.weights.keys() <= set(reading.weights)
            and _holds(reading, call, node)
        ):
            return operator, reading
    why = f"in this form: {_shown(node, call)}" if candidates else ""
    raise UnsupportedOperator(node.where, ascii(node.target[:100])[1:-1], why)


def _shown(node: AtenNode, call: Call) -> str:
    arguments = ", ".join(
        f"{name}={', '.join(tensor.name for tensor in references(value)) or repr(value)}"
        for name, value in node.arguments.items()
    )
    return f"{ascii(arguments[:300])[1:-1]} on shapes {[list(shape) for shape in call.inputs]}"


@contextmanager
def refusing(node: AtenNode) -> Iterator[None]:
    """What the table's rules stumble over in a stranger's arguments and shapes is the file's fault."""
    try:
        yield
    except TypeError as error:  # a rule of ours that is called with other arguments: its name says nothing
        names = ", ".join(ascii(name[:40])[1:-1] for name in node.arguments)
        raise NetworkRefused(node.where, f"{node.target} is not read with these arguments: {names}") from error
    except (ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise NetworkRefused(node.where, f"{node.target}: {error}") from error
    except MemoryError as error:
        raise NetworkRefused(node.where, f"{node.target}: takes more memory than there is for reading") from error


def _holds(reading: Aten, call: Call, node: AtenNode) -> bool:
    with refusing(node):
        return reading.when(call)


def read_attributes(node: AtenNode, operator: Operator, reading: Aten, call: Call) -> dict[str, Attribute]:
    """The operator's attributes in canonical form. Raises NetworkRefused naming the argument at fault."""
    with refusing(node):
        for name, value in call.arguments.items():
            if not _allowed(name, value, operator, reading, call):
                shown = ascii(name[:80])[1:-1]
                raise UnsupportedOperator(node.where, node.target, f"with {shown} = {str(value)[:80]}")
        given = reading.attributes(call) if reading.attributes else call.arguments
    return checked_attributes(operator, given, f"{node.where}: {node.target}")


def _allowed(name: str, value: Any, operator: Operator, reading: Aten, call: Call) -> bool:
    if value is None and name in reading.weights:
        return True
    if name in reading.fixed:
        return any(type(value) is type(allowed) and value == allowed for allowed in reading.fixed[name])
    if name in reading.implied:
        return bool(value == reading.implied[name](call))
    if name in reading.ignored:
        return True
    return name in operator.attributes and not isinstance(value, Opaque)


def checked_attributes(operator: Operator, given: Mapping[str, Any], where: str) -> dict[str, Attribute]:
    """Each attribute of the operator from `given` or its default, within its limits; others are left out."""
    attributes: dict[str, Attribute] = {}
    for name, kind in operator.attributes.items():
        value = given.get(name)
        if value is None:
            if kind.default is None:
                raise NetworkRefused(where, f"{name} is missing")
            value = kind.default
        try:
            attributes[name] = kind.read(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise NetworkRefused(where, f"{name} {error}") from error
    return attributes


def resolve_symbols(value: Any, sizes: Mapping[str, int | str]) -> Any:
    """An argument with the results of sym_size nodes filled in: numbers, or BATCH."""
    if isinstance(value, list):
        return [resolve_symbols(item, sizes) for item in value]
    if isinstance(value, SymbolReference):
        return sizes.get(value.name, Opaque("as_sym_int"))
    return value


def sym_size(node: AtenNode, shape: Shape) -> int | str:
    """The value of a sym_size node over a tensor of `shape`: BATCH for dimension 0."""
    dim = node.arguments.get("dim")
    if type(dim) is not int or not -len(shape) <= dim < len(shape):
        raise NetworkRefused(node.where, f"dimension {dim!r} does not exist")
    return BATCH if dim % len(shape) == 0 else shape[dim]
