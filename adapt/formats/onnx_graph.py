"""The nodes of an ONNX graph as a Graph: each is folded away, or restated in aten's words and found in the table."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from onnx import GraphProto

from adapt.errors import NetworkRefused, UnsupportedOperator
from adapt.formats.aten import Reference
from adapt.formats.onnx_building import GraphBuilder
from adapt.formats.onnx_channels_last import ChannelsLast, Value, channels_first, file_shape, turned
from adapt.formats.onnx_constants import Constant, constant, shape_constant, stated_constant
from adapt.formats.onnx_folding import fold
from adapt.formats.onnx_nodes import OnnxNode, parse_node
from adapt.formats.onnx_patterns import written_out
from adapt.formats.onnx_restating import RESTATED, Restating
from adapt.formats.onnx_signature import by_name, only_image, only_output, tensor_type
from adapt.formats.onnx_stated import PREVIOUS, Stated
from adapt.formats.onnx_tensors import printable, read_tensor, text
from adapt.formats.pt2_graph import MAX_NODES
from adapt.graph.network import Network, Shape


class OnnxGraphReader:
    """Follows the nodes of one file in order.

    `sources` says what the weights, which are called after their nodes, were called in the file.
    """

    def __init__(self, proto: GraphProto, opset: int) -> None:
        if len(proto.node) > MAX_NODES:
            raise NetworkRefused("", f"has {len(proto.node)} nodes, {MAX_NODES} are allowed")
        if proto.sparse_initializer:
            raise NetworkRefused(printable(proto.sparse_initializer[0].values.name), "is sparse, which is not read")
        self._opset = opset
        self._initializers = by_name(proto.initializer)
        output = only_output(proto.output)
        self._output = text(output.name)
        parsed = [parse_node(node, index) for index, node in enumerate(proto.node)]
        self._parsed = written_out(parsed, self._initializers.get, keep=self._output)
        self._consumers = Counter(name for node in self._parsed for name in node.needs())
        self._consumers[self._output] += 1
        given = only_image(proto.input, frozenset(self._initializers), parsed)
        self._built = GraphBuilder(given.image, given.name, given.batch)
        image = self._built.image
        self._values: dict[str, Value] = {given.name: ChannelsLast(image) if given.channels_last else image}
        self._stated = {text(info.name): info for info in (*proto.value_info, output)}
        self.sources = self._built.sources

    def read(self) -> Network:
        """Raises NetworkRefused or UnsupportedOperator, naming the node, value or initialiser."""
        for node in self._parsed:
            self._read_node(node)
        output = self._values.get(self._output)
        if not isinstance(output, Reference):
            raise NetworkRefused("output", f"{printable(self._output)!r} is no value that the network computes")
        return self._built.network(output)

    def _value(self, name: str, node: OnnxNode) -> Value:
        if name not in self._values:
            if name not in self._initializers:
                raise NetworkRefused(
                    node.where,
                    f"{node.op_type} needs {printable(name)!r}, which is no initialiser and which no earlier node "
                    "computes",
                )
            self._values[name] = constant(read_tensor(self._initializers[name], printable(name)), name)
        return self._values[name]

    def _read_node(self, node: OnnxNode) -> None:
        for name in node.outputs:
            if name and (name in self._values or name in self._initializers):
                raise NetworkRefused(node.where, f"the value {printable(name)!r} is computed twice")
        if node.op_type == "Constant":
            self._values[node.outputs[0]] = stated_constant(node)
            return
        inputs = [self._value(name, node) if name else None for name in node.inputs]
        if node.op_type == "If":
            self._read_branch(node, inputs)
            return
        first = inputs[0] if inputs else None
        if node.op_type == "Shape" and len(inputs) == 1 and isinstance(first, (Reference, ChannelsLast)):
            self._values[node.outputs[0]] = shape_constant(node, file_shape(first, self._built.shapes))
            return
        known = [given for given in inputs if given is None or isinstance(given, Constant)]
        if node.op_type in RESTATED and len(known) < len(inputs):
            self._read_computed(node, inputs)
        elif inputs and len(known) == len(inputs):
            self._values[node.outputs[0]] = fold(node, known)
        else:
            raise UnsupportedOperator(node.where, node.op_type)

    def _read_branch(self, node: OnnxNode, inputs: Sequence[Value | None]) -> None:
        """Exporters leave the choice open where they lost a shape; with all shapes known it is none."""
        condition = inputs[0] if len(inputs) == 1 else None
        numbers = [] if not isinstance(condition, Constant) else [bool(array.all()) for array in condition.at]
        if numbers not in ([True, True], [False, False]):
            raise UnsupportedOperator(
                node.where,
                node.op_type,
                "its condition depends on the images or their number; it holds graphs of its own (control flow)",
            )
        branch = node.branches.get("then_branch" if numbers[0] else "else_branch")
        if branch is None or len(node.branches) != 2 or node.attributes or len(node.outputs) != 1:
            raise NetworkRefused(node.where, "an If with two branches and one result is expected")
        for inner in branch.nodes:
            self._read_node(inner)
        result = self._value(branch.output, node)
        for name in {name for inner in branch.nodes for name in inner.outputs}:
            self._values.pop(name, None)
        self._values[node.outputs[0]] = result

    def _read_computed(self, node: OnnxNode, inputs: list[Value | None]) -> None:
        """A node that takes what earlier ones computed from the image."""
        with _refusing(node):
            view = turned(node, inputs[0]) if node.op_type == "Transpose" else None
            asked = None if view else channels_first(node, inputs, self._built.shapes)
        if view is not None:
            self._keep(node, 0, view, inputs)
        elif asked is not None:
            self._restate(asked[0], asked[1], inputs, channels_last=asked[2])
        else:
            plain = [self._built.channels_last(node, g.image) if isinstance(g, ChannelsLast) else g for g in inputs]
            self._restate(node, plain, inputs, channels_last=False)

    def _restate(
        self,
        node: OnnxNode,
        inputs: Sequence[Reference | Constant | None],
        taken: Sequence[Value | None],
        *,
        channels_last: bool,
    ) -> None:
        row = RESTATED[node.op_type]
        stated = self._state(node, inputs, row)
        with _refusing(node):
            steps = row.steps(stated)
        previous = PREVIOUS
        last = {step.output: index for index, step in enumerate(steps)}
        for index, step in enumerate(steps):
            final, output = last[step.output] == index, node.outputs[step.output]
            wanted = output if final else f"{output}_{step.target.partition('.')[0]}"
            previous = self._built.take(node, step, previous, wanted, self._is_used_once)
            if final:
                image = previous if channels_last else self._built.one_pixel(node, previous)
                self._keep(node, step.output, ChannelsLast(image) if image is not None else previous, taken)

    def _keep(
        self, node: OnnxNode, output: int, value: Reference | ChannelsLast, taken: Sequence[Value | None]
    ) -> None:
        """A node that hands a value on is none of its users: they are the users of the result."""
        for name, given in zip(node.inputs, taken, strict=True):
            if not isinstance(given, Constant) and given is not None and _image(given) == _image(value):
                self._consumers[name] -= 1
        self._values[node.outputs[output]] = value
        self._compare(node.outputs[output], file_shape(value, self._built.shapes))

    def _is_used_once(self, value: Reference) -> bool:
        names = [
            name for name, given in self._values.items() if not isinstance(given, Constant) and _image(given) == value
        ]
        return sum(self._consumers[name] for name in names) == 1

    def _state(self, node: OnnxNode, inputs: Sequence[Reference | Constant | None], row: Restating) -> Stated:
        if odd := node.attributes.keys() - set(row.attributes):
            raise UnsupportedOperator(node.where, node.op_type, f"with the attribute {sorted(odd)[0]}")
        shapes = {given.name: self._built.shapes[given.name] for given in inputs if isinstance(given, Reference)}
        present = tuple(given for given in inputs if given is not None)
        if row.takes == ("...",):
            return Stated(node=node, opset=self._opset, given={}, rest=present, shapes=shapes)
        if len(inputs) > len(row.takes):
            raise NetworkRefused(node.where, f"{node.op_type} has {len(inputs)} inputs, {len(row.takes)} are expected")
        given = {name: value for name, value in zip(row.takes, inputs, strict=False) if value is not None}
        return Stated(node=node, opset=self._opset, given=given, rest=(), shapes=shapes)

    def _compare(self, name: str, ours: Shape) -> None:
        """The shape that we propagated against the one that the file states, as far as it does."""
        if name not in self._stated:
            return
        _, sizes = tensor_type(self._stated[name], printable(name))
        if sizes is None:
            return
        if len(sizes) != len(ours) or any(s not in (None, o) for s, o in zip(sizes[1:], ours[1:], strict=True)):
            raise NetworkRefused(
                printable(name), f"the file states the shape {sizes}, its operators lead to {['N', *ours[1:]]}"
            )


def _image(value: Reference | ChannelsLast) -> Reference:
    return value.image if isinstance(value, ChannelsLast) else value


@contextmanager
def _refusing(node: OnnxNode) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise NetworkRefused(node.where, f"{node.op_type}: {error}") from error
