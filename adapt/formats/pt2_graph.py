"""models/model.json of a .pt2 file as a Graph: nodes matched with the operator table, shapes compared with the file's.

Guards, tree specs, sample inputs and symbolic expressions are never looked at.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from adapt.errors import NetworkRefused, UnsupportedOperator
from adapt.formats.aten import (
    AtenNode,
    Reference,
    find_reading,
    parse_nodes,
    read_attributes,
    references,
    resolve_symbols,
    sym_size,
    value_name,
)
from adapt.formats.aten_constants import Array
from adapt.formats.names import WEIGHT_NAME
from adapt.formats.pt2_constants import FileWeights, in_parts
from adapt.formats.pt2_weights import FLOATS, LONG
from adapt.formats.strict_json import member, of_type, only_member
from adapt.formats.tensors import check_shape
from adapt.graph.network import Graph, Node, Shape
from adapt.graph.operators.operator import Call
from adapt.graph.ownership import Sharing
from adapt.graph.shapes import node_shape

MODEL = "models/model.json"
MAX_NODES = 10_000
SCHEMA_MAJOR = 8  # torch/_export/serde/schema.py of torch 2.13
_SYM_SIZE = "torch.ops.aten.sym_size.int"
_CHECK_ONLY = frozenset({"torch.ops.aten._assert_tensor_metadata.default"})  # results in nothing


class Signature:
    """What the graph's inputs are: placeholder -> weight name, and the one user input."""

    def __init__(self, document: Any) -> None:
        signature = member(document, "signature", dict, MODEL)
        self.weights: dict[str, str] = {}
        self.buffers: set[str] = set()
        inputs: list[str] = []
        names: set[str] = set()
        for spec in member(signature, "input_specs", list, MODEL):
            kind, content = only_member(spec, MODEL)
            if kind in ("parameter", "buffer", "tensor_constant"):
                placeholder = value_name(member(member(content, "arg", dict, MODEL), "name", str, MODEL), MODEL)
                name = _tensor_name(member(content, f"{kind}_name", str, MODEL))
                if placeholder in self.weights or name in names:
                    raise NetworkRefused(MODEL, f"the weight {name} is an input twice")
                names.add(name)
                self.weights[placeholder] = name
                if kind != "parameter":
                    self.buffers.add(self.weights[placeholder])
            elif kind == "user_input":
                inputs.append(_user_input(content))
            elif kind != "token":  # one that a layer uses is refused where it is used
                raise NetworkRefused(MODEL, f"an input of the kind {kind[:40]!a} is not read")
        if len(inputs) != 1:
            raise NetworkRefused("inputs", f"the network takes {len(inputs)} inputs {inputs}, one image is expected")
        self.input = inputs[0]
        self.output = _user_output(member(signature, "output_specs", list, MODEL))


def _tensor_name(name: str) -> str:
    if not WEIGHT_NAME.fullmatch(name):
        raise NetworkRefused(MODEL, f"{name[:80]!a} is no name that a weight may have")
    return name


def _user_input(content: Any) -> str:
    tag, value = only_member(member(content, "arg", dict, MODEL), "inputs")
    if tag != "as_tensor":
        raise NetworkRefused("inputs", "the network takes an input that is no tensor; one image is expected")
    return value_name(member(value, "name", str, MODEL), MODEL)


def _user_output(specs: list[Any]) -> str:
    if len(specs) != 1:
        raise NetworkRefused("output", f"the network has {len(specs)} outputs, one [N, classes] is expected")
    kind, content = only_member(specs[0], "output")
    if kind != "user_output":
        raise NetworkRefused("output", f"an output of the kind {kind[:40]!a} is not read")
    tag, value = only_member(member(content, "arg", dict, MODEL), "output")
    if tag != "as_tensor":
        raise NetworkRefused("output", "is no tensor, [N, classes] is expected")
    return value_name(member(value, "name", str, MODEL), MODEL)


class GraphReader:
    """Follows the nodes of one file in order; `nodes` and `weight_shapes` grow as it goes."""

    def __init__(
        self, document: Any, signature: Signature, shapes: Mapping[str, Shape], load: Callable[[str], Array]
    ) -> None:
        graph = member(member(document, "graph_module", dict, MODEL), "graph", dict, MODEL)
        documents = member(graph, "nodes", list, MODEL)
        if len(documents) > MAX_NODES:
            raise NetworkRefused(MODEL, f"has {len(documents)} nodes, {MAX_NODES} are allowed")
        self._parsed = [node for index, document in enumerate(documents) for node in parse_nodes(document, index)]
        self._last_use = {
            value.name: index
            for index, node in enumerate(self._parsed)
            for argument in node.arguments.values()
            for value in references(argument)
        }
        self._last_use[signature.output] = len(self._parsed)
        self._file_shapes = member(graph, "tensor_values", dict, MODEL)
        self._signature = signature
        self._parts = in_parts(self._parsed, signature.weights)
        parts = [part for parts in self._parts for part in parts]
        self.weights = FileWeights(signature.weights, shapes, signature.buffers, parts, load)
        image, self.batch = self._input_shape()
        self.graph = Graph(
            input_name=signature.input, input_shape=image, nodes=(), output=signature.output, weight_shapes={}
        )
        self._shapes: dict[str, Shape] = {signature.input: (1, *image)}
        self._names: dict[str, str] = {signature.input: signature.input}  # value in the file -> value of ours
        self._memory: dict[str, str] = {}  # value -> the value whose memory it is
        self._read_last: dict[str, tuple[int, str]] = {}  # that -> the last use of any value that lies there
        self._lay(signature.input, signature.input)
        self._sizes: dict[str, int | str] = {}
        self.nodes: list[Node] = []
        self._sharing = Sharing()
        self.weight_shapes: dict[str, Shape] = {}

    def read(self) -> Graph:
        """Raises NetworkRefused or UnsupportedOperator, naming the layer or value."""
        for index, node in enumerate(self._parsed):
            self._read_node(node, index)
        if self._signature.output not in self._names:
            raise NetworkRefused("output", f"{self._signature.output!r} is no value that the network computes")
        output = self._names[self._signature.output]
        return replace(self.graph, nodes=tuple(self.nodes), output=output, weight_shapes=self.weight_shapes)

    def _input_shape(self) -> tuple[tuple[int, int, int], int | None]:
        sizes = member(member(self._file_shapes, self._signature.input, dict, MODEL), "sizes", list, MODEL)
        if len(sizes) != 4:
            raise NetworkRefused("inputs", f"the input has {len(sizes)} dimensions, [N, C, H, W] is expected")
        numbers = [_size(size, self._signature.input) for size in sizes]
        if None in numbers[1:]:
            raise NetworkRefused("inputs", "the image size is dynamic; export with a fixed height and width")
        _, channels, height, width = check_shape([1, *numbers[1:]], "inputs")
        return (channels, height, width), numbers[0]

    def _read_node(self, node: AtenNode, index: int) -> None:
        if node.target in _CHECK_ONLY or self.weights.counts_batches(node):
            return
        self._check_new(node)
        if node.target == _SYM_SIZE:
            source = node.arguments.get("self")
            if not isinstance(source, Reference) or source.name not in self._names:
                raise NetworkRefused(node.where, f"{node.target} needs an earlier value")
            self._sizes[node.output] = sym_size(node, self._shapes[self._names[source.name]])
        elif self.weights.computes(node):
            self._compare_computed(node, self.weights.compute(node))
        else:
            self._read_parts(node, index)

    def _check_new(self, node: AtenNode) -> None:
        taken = node.output in self._names or node.output in self.weights or node.output in self._sizes
        if taken or not node.output:
            raise NetworkRefused(node.where, f"the value {node.output!r} is computed twice or has no name")

    def _read_parts(self, node: AtenNode, index: int) -> None:
        for part in self._parts[index]:
            self._check_new(part)
            if not self.weights.computes(part):
                self._read_operator(self.weights.as_linear(part), index)
            elif part.output == node.output:  # weights alone, in several steps
                self._compare_computed(node, self.weights.compute(part))
            else:
                self.weights.compute(part)
        if node.output in self._names:
            self._compare_value(node.output)

    def _read_operator(self, node: AtenNode, index: int) -> None:
        weights, inputs, plain = self._sort_arguments(node)
        known = {role: self.weights.shapes[name] for role, name in weights.items()}
        shapes = tuple(self._shapes[self._names[name]] for names in inputs.values() for name in names)
        buffers = frozenset(role for role, name in weights.items() if name in self.weights.buffers)
        call = Call(arguments=plain, inputs=shapes, weights=known, batch=self.batch, buffers=buffers)
        operator, reading = find_reading(node, call, frozenset(inputs))
        weights = {reading.roles.get(argument, argument): name for argument, name in weights.items()}
        if missing := [role for role, needed in operator.weights.items() if needed and role not in weights]:
            raise UnsupportedOperator(node.where, node.target, f"without {', '.join(missing)}")
        sources = [source for name in reading.inputs for source in inputs[name]]
        if reading.in_place:
            self._check_in_place(node, sources[0], index)
        attributes = read_attributes(node, operator, reading, call)
        self._lay(node.output, self._memory[sources[0]] if reading.in_place or reading.alias else node.output)
        if operator.name == "identity":
            self._names[node.output] = self._names[sources[0]]
        else:
            self._append(
                Node(
                    name=node.output,
                    operator=operator.name,
                    inputs=tuple(self._names[name] for name in sources),
                    attributes=attributes,
                    weights=self._with_counter(operator.name, weights),
                    layer=node.layer,
                ),
                node,
            )

    def _sort_arguments(self, node: AtenNode) -> tuple[dict[str, str], dict[str, list[str]], dict[str, Any]]:
        """The arguments that are weights, those that are values (both by name), and the plain ones."""
        weights: dict[str, str] = {}
        inputs: dict[str, list[str]] = {}
        plain: dict[str, Any] = {}
        for argument, value in node.arguments.items():
            tensors = [tensor.name for tensor in references(value)]
            if not tensors:
                plain[argument] = resolve_symbols(value, self._sizes)
            elif isinstance(value, Reference) and value.name in self.weights:
                weights[argument] = self.weights.name(value.name, node.where)
            elif missing := [name for name in tensors if name not in self._names]:
                raise NetworkRefused(
                    node.where, f"{node.target} needs {missing[0]!r}, which is no earlier value and no single weight"
                )
            else:
                inputs[argument] = tensors
        return weights, inputs, plain

    def _with_counter(self, operator: str, weights: dict[str, str]) -> dict[str, str]:
        """Batch norm's counter is no argument of the operator; it lies beside the running mean."""
        counter = f"{weights.get('running_mean', '').removesuffix('running_mean')}num_batches_tracked"
        counts = operator == "batch_norm" and self.weights.shapes.get(counter) == ()
        return {**weights, "num_batches_tracked": counter} if counts else weights

    def _append(self, ours: Node, node: AtenNode) -> None:
        if ours.weights:
            self._sharing.add(ours, self._shapes[ours.inputs[0]])
        self.weight_shapes.update({name: self.weights.shapes[name] for name in ours.weights.values()})
        partial = replace(self.graph, weight_shapes=self.weight_shapes)
        self._shapes[ours.name] = node_shape(partial, ours, self._shapes)
        self._names[ours.name] = ours.name
        self.nodes.append(ours)

    def _lay(self, name: str, place: str) -> None:
        self._memory[name] = place
        self._read_last[place] = max(self._read_last.get(place, (-1, "")), (self._last_use.get(name, -1), name))

    def _check_in_place(self, node: AtenNode, written: str, index: int) -> None:
        """Refuses a write that a later node could see by another way than the result of `node`."""
        last, name = self._read_last[self._memory[written]]
        if last > index:
            raise UnsupportedOperator(node.where, node.target, f"it overwrites {name}, which is used again later")

    def _compare_computed(self, node: AtenNode, result: Array) -> None:
        """As `_compare`, of a weight; all are computed in float32, and one that the network rounds would come out
        another."""
        self._compare(node.output, result.shape)
        where = f"{MODEL}: {node.output}"
        dtype = member(member(self._file_shapes, node.output, dict, where), "dtype", int, where)
        if dtype not in FLOATS and not (dtype == LONG and np.array_equal(result, np.trunc(result))):
            raise UnsupportedOperator(node.where, node.target, "of weights to other than floating point")

    def _compare(self, name: str, ours: tuple[int | None, ...]) -> None:
        """The shape that we propagated against the one that the file states."""
        where = f"{MODEL}: {name}"
        meta = member(self._file_shapes, name, dict, where)
        stated = [_size(size, where) for size in member(meta, "sizes", list, where)]
        if stated != list(ours):
            raise NetworkRefused(where, f"the file states the shape {stated}, its operators lead to {list(ours)}")

    def _compare_value(self, name: str) -> None:
        """As `_compare`, of a value [N, ...], floating point and with the batch of the input."""
        where = f"{MODEL}: {name}"
        meta = member(self._file_shapes, name, dict, where)
        if member(meta, "dtype", int, where) not in FLOATS:
            raise NetworkRefused(where, "is no floating-point tensor")
        stated = [_size(size, where) for size in member(meta, "sizes", list, where)]
        ours = self._shapes[self._names[name]]
        self._compare(name, (*stated[:1], *ours[1:]))
        if stated[:1] != [self.batch]:
            raise NetworkRefused(where, f"the file states the batch size {stated[0]}, the input's is {self.batch}")


def _size(size: Any, where: str) -> int | None:
    """A number, or None for a symbolic size."""
    tag, value = only_member(size, where)
    if tag == "as_expr":
        return None
    if tag != "as_int":
        raise NetworkRefused(where, f"has a size of the kind {tag[:40]!a}")
    return of_type(value, int, where)
