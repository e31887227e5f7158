"""The nodes of an ONNX graph as a Graph: each is folded away, or restated in aten's words and found in the table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, TensorProto, ValueInfoProto

from adapt.errors import NetworkRefused, UnsupportedOperator
from adapt.formats.aten import AtenNode, Reference, checked_attributes, find_reading, read_attributes, references
from adapt.formats.onnx_constants import Constant, constant, fold, shape_constant, stated_constant
from adapt.formats.onnx_layers import ADD_BIAS
from adapt.formats.onnx_names import ValueNames, scope_path
from adapt.formats.onnx_nodes import OnnxNode, parse_node
from adapt.formats.onnx_patterns import written_out
from adapt.formats.onnx_restating import RESTATED, Restating
from adapt.formats.onnx_stated import PREVIOUS, Stated, Step, Weight
from adapt.formats.onnx_tensors import FLOATS, printable, read_tensor, text, type_name
from adapt.formats.pt2_graph import MAX_NODES
from adapt.formats.tensors import check_shape
from adapt.graph.network import Graph, Network, Node, Shape
from adapt.graph.operators import OPERATORS
from adapt.graph.operators.operator import Call
from adapt.graph.shapes import node_shape

_ATEN = "torch.ops.aten."
_Value = Reference | Constant


class OnnxGraphReader:
    """Follows the nodes of one file in order.

    `network` is what was read so far, its weights called after their nodes; `sources` says what they were called in
    the file.
    """

    def __init__(self, proto: GraphProto, opset: int) -> None:
        if len(proto.node) > MAX_NODES:
            raise NetworkRefused("", f"has {len(proto.node)} nodes, {MAX_NODES} are allowed")
        if proto.sparse_initializer:
            raise NetworkRefused(printable(proto.sparse_initializer[0].values.name), "is sparse, which is not read")
        self._opset = opset
        self._initializers = _by_name(proto.initializer)
        self._names = ValueNames()
        self._values: dict[str, _Value] = {}
        self._shapes: dict[str, Shape] = {}
        self._nodes: dict[str, Node] = {}
        self._weights: dict[str, NDArray[Any]] = {}
        self._uses: dict[tuple[str, int], str] = {}
        self.sources: dict[str, str] = {}
        self._input, self._image, self._batch = self._read_input(proto.input)
        output = _only_output(proto.output)
        self._output = text(output.name)
        parsed = [parse_node(node, index) for index, node in enumerate(proto.node)]
        self._parsed = written_out(parsed, self._scalar, keep=self._output)
        self._consumers = Counter(name for node in self._parsed for name in node.inputs)
        self._consumers[self._output] += 1
        self._refuse_channels_last(proto.input)
        self._stated = {text(info.name): info for info in (*proto.value_info, output)}

    def read(self) -> Network:
        """Raises NetworkRefused or UnsupportedOperator, naming the node, value or initialiser."""
        for node in self._parsed:
            self._read_node(node)
        output = self._values.get(self._output)
        if not isinstance(output, Reference):
            raise NetworkRefused("output", f"{printable(self._output)!r} is no value that the network computes")
        return Network(replace(self._graph(), output=output.name), self._weights)

    def _graph(self) -> Graph:
        return Graph(
            input_name=self._input,
            input_shape=self._image,
            nodes=tuple(self._nodes.values()),
            output="",
            weight_shapes={name: tensor.shape for name, tensor in self._weights.items()},
        )

    def _read_input(self, infos: Sequence[ValueInfoProto]) -> tuple[str, tuple[int, int, int], int | None]:
        """Older files list their initialisers as inputs too."""
        images = [info for info in infos if text(info.name) not in self._initializers]
        if len(images) != 1:
            names = [printable(info.name, 40) for info in images[:5]]
            raise NetworkRefused("inputs", f"the network takes {len(images)} inputs {names}, one image is expected")
        kind, sizes = _tensor_type(images[0], "inputs")
        if kind not in FLOATS:
            raise NetworkRefused("inputs", f"the network takes {type_name(kind)} values, floating point is expected")
        if sizes is None or len(sizes) != 4:
            rank = "no stated shape" if sizes is None else f"{len(sizes)} dimensions"
            raise NetworkRefused("inputs", f"the input has {rank}, [N, C, H, W] is expected")
        if None in sizes[1:]:
            raise NetworkRefused("inputs", "the image size is dynamic; export with a fixed height and width")
        _, channels, height, width = check_shape([1, *sizes[1:]], "inputs")
        name = self._names.free(text(images[0].name))
        self._values[text(images[0].name)] = Reference(name)
        self._shapes[name] = (1, channels, height, width)
        return name, (channels, height, width), sizes[0]

    def _refuse_channels_last(self, infos: Sequence[ValueInfoProto]) -> None:
        """Converters from Keras write images as [N, H, W, C] and turn them first."""
        images = {text(info.name) for info in infos} - self._initializers.keys()
        for node in self._parsed:
            if (
                node.op_type == "Transpose"
                and node.attributes.get("perm") == [0, 3, 1, 2]
                and images.intersection(node.inputs)
            ):
                raise NetworkRefused(
                    "inputs",
                    f"images are expected as [N, C, H, W], and the node {node.where} turns them from [N, H, W, C]; "
                    "convert with channels first (tf2onnx: --inputs-as-nchw)",
                )

    def _scalar(self, name: str) -> float | None:
        """The number that an initialiser holds, where it holds just one."""
        tensor = self._initializers.get(name)
        if tensor is None or tensor.data_type not in FLOATS or any(size != 1 for size in tensor.dims):
            return None
        return float(read_tensor(tensor, printable(name)).reshape(-1)[0])

    def _value(self, name: str, node: OnnxNode) -> _Value:
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
        if node.op_type == "Shape" and len(inputs) == 1 and isinstance(inputs[0], Reference):
            self._values[node.outputs[0]] = shape_constant(node, self._shapes[inputs[0].name])
            return
        known = [given for given in inputs if not isinstance(given, Reference)]
        if node.op_type in RESTATED and len(known) < len(inputs):
            self._restate(node, inputs)
        elif inputs and len(known) == len(inputs):
            self._values[node.outputs[0]] = fold(node, known)
        else:
            raise UnsupportedOperator(node.where, node.op_type)

    def _restate(self, node: OnnxNode, inputs: list[_Value | None]) -> None:
        row = RESTATED[node.op_type]
        stated = self._state(node, inputs, row)
        try:
            steps = row.steps(stated)
        except (TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise NetworkRefused(node.where, f"{node.op_type}: {error}") from error
        previous = PREVIOUS
        last = {step.output: index for index, step in enumerate(steps)}
        for index, step in enumerate(steps):
            final = last[step.output] == index
            previous = self._take(node, step, previous, final=final)
            if final:
                self._values[node.outputs[step.output]] = previous
                self._compare(node.outputs[step.output], self._shapes[previous.name])

    def _state(self, node: OnnxNode, inputs: list[_Value | None], row: Restating) -> Stated:
        if odd := node.attributes.keys() - set(row.attributes):
            raise UnsupportedOperator(node.where, node.op_type, f"with the attribute {sorted(odd)[0]}")
        shapes = {given.name: self._shapes[given.name] for given in inputs if isinstance(given, Reference)}
        present = tuple(given for given in inputs if given is not None)
        if row.takes == ("...",):
            return Stated(node=node, opset=self._opset, given={}, rest=present, shapes=shapes)
        if len(inputs) > len(row.takes):
            raise NetworkRefused(node.where, f"{node.op_type} has {len(inputs)} inputs, {len(row.takes)} are expected")
        given = {name: value for name, value in zip(row.takes, inputs, strict=False) if value is not None}
        return Stated(node=node, opset=self._opset, given=given, rest=(), shapes=shapes)

    def _take(self, node: OnnxNode, step: Step, previous: Reference, *, final: bool) -> Reference:
        """Adds what a step says to the graph and returns the value that it results in."""
        arguments = {
            name: previous if value is PREVIOUS else value
            for name, value in step.arguments.items()
            if not isinstance(value, Weight)
        }
        weights = {name: value for name, value in step.arguments.items() if isinstance(value, Weight)}
        if step.target == ADD_BIAS:
            return self._add_bias(node, arguments["self"], weights["bias"])
        wanted = node.outputs[step.output] if final else f"{node.outputs[step.output]}_{step.target.partition('.')[0]}"
        layer = scope_path(node.name)
        if step.target in OPERATORS:
            operator = OPERATORS[step.target]
            sources = [value.name for value in arguments.values() if isinstance(value, Reference)]
            attributes = checked_attributes(operator, arguments, f"{node.where}: {node.op_type}")
            return self._append(node, operator.name, sources, attributes, {}, (wanted, layer))
        aten = AtenNode(target=f"{_ATEN}{step.target}", output=wanted, arguments=arguments, layer=layer)
        return self._find(node, aten, weights)

    def _find(self, node: OnnxNode, aten: AtenNode, weights: Mapping[str, Weight]) -> Reference:
        """The row of the operator table that reads a node restated in aten's words."""
        inputs = {name: [tensor.name for tensor in references(value)] for name, value in aten.arguments.items()}
        inputs = {name: tensors for name, tensors in inputs.items() if tensors}
        call = Call(
            arguments={name: value for name, value in aten.arguments.items() if name not in inputs},
            inputs=tuple(self._shapes[name] for names in inputs.values() for name in names),
            weights={name: weight.array.shape for name, weight in weights.items()},
            batch=self._batch,
        )
        try:
            operator, reading = find_reading(aten, call, frozenset(inputs))
            attributes = read_attributes(aten, operator, reading, call)
        except UnsupportedOperator as refused:
            raise UnsupportedOperator(node.where, node.op_type, refused.args[2]) from refused
        except NetworkRefused as refused:
            raise NetworkRefused(node.where, refused.why.replace(aten.target, node.op_type)) from refused
        sources = [source for name in reading.inputs for source in inputs[name]]
        if operator.name == "identity":
            return Reference(sources[0])
        roles = {reading.roles.get(name, name): weight for name, weight in weights.items()}
        if missing := [role for role, needed in operator.weights.items() if needed and role not in roles]:
            raise UnsupportedOperator(node.where, node.op_type, f"without {', '.join(missing)}")
        return self._append(node, operator.name, sources, attributes, roles, (aten.output, aten.layer))

    def _append(
        self,
        node: OnnxNode,
        operator: str,
        sources: list[str],
        attributes: Mapping[str, Any],
        weights: Mapping[str, Weight],
        called: tuple[str, str],
    ) -> Reference:
        name = self._names.free(called[0])
        names = {role: f"{name}.{role}" for role in weights}
        ours = Node(
            name=name,
            operator=operator,
            inputs=tuple(sources),
            attributes=attributes,
            weights=names,
            layer=called[1],
        )
        for role, weight in weights.items():
            self._own(node, names[role], weight)
        if operator == "batch_norm":  # torch's modules count batches and ONNX does not: keys stay those of the original
            names["num_batches_tracked"] = f"{name}.num_batches_tracked"
            self._weights[names["num_batches_tracked"]] = np.zeros((), dtype=np.int64)
        self._shapes[name] = self._shape_of(node, ours)
        self._nodes[name] = ours
        return Reference(name)

    def _shape_of(self, node: OnnxNode, ours: Node) -> Shape:
        shapes = {name: self._weights[name].shape for name in ours.weights.values()}
        lone = Graph(
            input_name=self._input, input_shape=self._image, nodes=(ours,), output=ours.name, weight_shapes=shapes
        )
        try:
            return node_shape(lone, ours, self._shapes)
        except UnsupportedOperator:
            raise
        except NetworkRefused as refused:
            raise NetworkRefused(node.where, f"{node.op_type}: {refused.why}") from refused

    def _own(self, node: OnnxNode, name: str, weight: Weight) -> None:
        """Exporters store equal vectors once (batch norms that are not trained yet); a matrix is shared on purpose."""
        if weight.source and weight.array.ndim > 1:
            key = (weight.source, weight.array.size)
            if key in self._uses:
                raise NetworkRefused(
                    node.where,
                    f"the weight {printable(weight.source)} is used by {self._uses[key]} too; weights shared by layers "
                    "are not adapted",
                )
            self._uses[key] = node.where
        self._weights[name] = np.ascontiguousarray(weight.array)
        self.sources[name] = weight.source

    def _add_bias(self, node: OnnxNode, value: Reference, bias: Weight) -> Reference:
        """A vector that is added to the result of a layer without bias is its bias, as in MatMul and Add."""
        layer = self._nodes.get(value.name)
        used_once = sum(self._consumers[name] for name, given in self._values.items() if given == value) == 1
        if layer is None or layer.operator not in ("linear", "conv2d") or "bias" in layer.weights or not used_once:
            raise UnsupportedOperator(
                node.where,
                node.op_type,
                f"of the constant {printable(bias.source)}, which no layer can take as its bias",
            )
        shape = self._shapes[value.name]
        aligned = (1,) * (len(shape) - bias.array.ndim) + bias.array.shape
        if aligned != (1, shape[1], *(1 for _ in shape[2:])):
            raise UnsupportedOperator(
                node.where, node.op_type, f"of a constant of shape {list(bias.array.shape)} to {list(shape)}"
            )
        name = f"{layer.name}.bias"
        self._own(node, name, Weight(bias.array.reshape(-1), bias.source))
        self._nodes[layer.name] = replace(layer, weights={**layer.weights, "bias": name})
        return value

    def _compare(self, name: str, ours: Shape) -> None:
        """The shape that we propagated against the one that the file states, as far as it does."""
        if name not in self._stated:
            return
        _, sizes = _tensor_type(self._stated[name], printable(name))
        if sizes is None:
            return
        if len(sizes) != len(ours) or any(s not in (None, o) for s, o in zip(sizes[1:], ours[1:], strict=True)):
            raise NetworkRefused(
                printable(name), f"the file states the shape {sizes}, its operators lead to {['N', *ours[1:]]}"
            )


def _by_name(tensors: Sequence[TensorProto]) -> dict[str, TensorProto]:
    found: dict[str, TensorProto] = {}
    for tensor in tensors:
        name = text(tensor.name)
        if name in found:
            raise NetworkRefused(printable(name), "is the name of two initialisers")
        found[name] = tensor
    return found


def _only_output(infos: Sequence[ValueInfoProto]) -> ValueInfoProto:
    if len(infos) != 1:
        raise NetworkRefused("output", f"the network has {len(infos)} outputs, one [N, classes] is expected")
    return infos[0]


def _tensor_type(info: ValueInfoProto, where: str) -> tuple[int, list[int | None] | None]:
    """The element type and the sizes, None for one that is not fixed, and for a shape that is not stated."""
    kind = info.type.WhichOneof("value")
    if kind is None:
        return int(TensorProto.UNDEFINED), None
    if kind != "tensor_type":
        raise NetworkRefused(where, f"{printable(info.name)} is no tensor ({kind.removesuffix('_type')})")
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return tensor.elem_type, None
    sizes = [size.dim_value if size.HasField("dim_value") and size.dim_value > 0 else None for size in tensor.shape.dim]
    return tensor.elem_type, sizes
