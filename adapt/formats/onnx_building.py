"""A Graph made node by node from steps in aten's words, each found in the operator table."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapt.errors import NetworkRefused, UnsupportedOperator
from adapt.formats.aten import AtenNode, Reference, checked_attributes, find_reading, read_attributes, references
from adapt.formats.onnx_names import ValueNames, scope_path
from adapt.formats.onnx_nodes import OnnxNode
from adapt.formats.onnx_sharing import with_layers_joined
from adapt.formats.onnx_stated import PREVIOUS, Step, Weight
from adapt.graph.network import Graph, Network, Node, Shape
from adapt.graph.operators import OPERATORS
from adapt.graph.operators.channelwise import channel_axis
from adapt.graph.operators.layout import TO_CHANNELS_FIRST, TO_CHANNELS_LAST
from adapt.graph.operators.operator import BATCH, Call
from adapt.graph.shapes import node_shape

_ATEN = "torch.ops.aten."
_SHIFTS = {"add.Tensor": 1, "sub.Tensor": -1}
_NORMALISING = frozenset({"scale", "add_scalar", "mul_scalar"})
_VIEWS = frozenset({"reshape", "flatten", "squeeze", "unsqueeze"})


class GraphBuilder:
    """`weights` are called after their nodes, `sources` says what they were called in the file.

    `shapes` has the image [1, C, H, W] and every value so far; `used_once` says whether one node alone needs a value.
    """

    def __init__(self, image: tuple[int, int, int], name: str, batch: int | None) -> None:
        self._names = ValueNames()
        self.image = Reference(self._names.free(name))
        self._size, self._batch = image, batch
        self.shapes: dict[str, Shape] = {self.image.name: (1, *image)}
        self.sources: dict[str, str] = {}
        self._nodes: dict[str, Node] = {}
        self._weights: dict[str, NDArray[Any]] = {}

    def network(self, output: Reference) -> Network:
        shapes = {name: tensor.shape for name, tensor in self._weights.items()}
        whole = Network(self._graph(tuple(self._nodes.values()), output.name, shapes), self._weights)
        return with_layers_joined(whole, self.sources, self.shapes)

    def _graph(self, nodes: tuple[Node, ...], output: str, weight_shapes: Mapping[str, Shape]) -> Graph:
        return Graph(
            input_name=self.image.name,
            input_shape=self._size,
            nodes=nodes,
            output=output,
            weight_shapes=weight_shapes,
        )

    def take(
        self, node: OnnxNode, step: Step, previous: Reference, wanted: str, used_once: Callable[[Reference], bool]
    ) -> Reference:
        """Adds what a step says to the graph and returns the value that it results in."""
        arguments = {
            name: previous if value is PREVIOUS else value
            for name, value in step.arguments.items()
            if not isinstance(value, Weight)
        }
        weights = {name: value for name, value in step.arguments.items() if isinstance(value, Weight)}
        if step.target in _SHIFTS and weights and used_once(arguments["self"]):
            shift = weights["other"]
            vector = Weight(shift.array * np.float32(_SHIFTS[step.target]), shift.source)
            if self._is_biased(node, arguments["self"], vector):
                return Reference(arguments["self"].name)
        if step.target == "linear.default" and (flat := self._flat_image(node, arguments["input"])):
            arguments["input"], shape = flat
            weights["weight"] = _with_columns_as_ours(weights["weight"], shape)
        layer = scope_path(node.name)
        if step.target in OPERATORS:
            operator = OPERATORS[step.target]
            sources = [value.name for value in arguments.values() if isinstance(value, Reference)]
            attributes = checked_attributes(operator, arguments, f"{node.where}: {node.op_type}")
            return self._append(node, operator.name, sources, attributes, {}, (wanted, layer))
        aten = AtenNode(target=f"{_ATEN}{step.target}", output=wanted, arguments=arguments, layer=layer)
        return self._find(node, aten, weights)

    def channels_last(self, node: OnnxNode, image: Reference) -> Reference:
        """The image turned to [N, H, W, C] by a node of its own, where it was not turned from there."""
        made = self._nodes.get(image.name)
        if made is not None and made.operator == "permute" and made.attributes["dims"] == TO_CHANNELS_FIRST:
            return Reference(made.inputs[0])
        arguments = {"self": image, "dims": list(TO_CHANNELS_LAST)}
        wanted = f"{image.name}_channels_last"
        return self._find(
            node, AtenNode(target=f"{_ATEN}permute.default", output=wanted, arguments=arguments, layer=""), {}
        )

    def _flat_image(self, node: OnnxNode, value: Reference) -> tuple[Reference, Shape] | None:
        """The flattened image [N, C, H, W], and its shape, where `value` is the same image flattened channels last."""
        flat = self._nodes.get(value.name)
        turned = self._nodes.get(flat.inputs[0]) if flat is not None and flat.operator == "flatten" else None
        if turned is None or turned.operator != "permute" or turned.attributes["dims"] != TO_CHANNELS_LAST:
            return None
        shape = self.shapes[turned.inputs[0]]
        return self._seen_as(node, Reference(turned.inputs[0]), (prod(shape[1:]),), f"{value.name}_flat"), shape

    def one_pixel(self, node: OnnxNode, value: Reference) -> Reference | None:
        """The image [N, C, 1, 1] of what was just seen as [N, 1, 1, C]; None for any other value."""
        shape, made = self.shapes[value.name], self._nodes.get(value.name)
        if made is None or made.operator != "reshape" or len(shape) != 4 or shape[1:3] != (1, 1):
            return None
        return self._seen_as(node, Reference(made.inputs[0]), (shape[3], 1, 1), f"{value.name}_image")

    def _seen_as(self, node: OnnxNode, source: Reference, sizes: Shape, wanted: str) -> Reference:
        arguments = {"self": source, "shape": [BATCH, *sizes]}
        layer = scope_path(node.name)
        return self._find(
            node, AtenNode(target=f"{_ATEN}reshape.default", output=wanted, arguments=arguments, layer=layer), {}
        )

    def _find(self, node: OnnxNode, aten: AtenNode, weights: Mapping[str, Weight]) -> Reference:
        """The row of the operator table that reads a node restated in aten's words."""
        inputs = {name: [tensor.name for tensor in references(value)] for name, value in aten.arguments.items()}
        inputs = {name: tensors for name, tensors in inputs.items() if tensors}
        call = Call(
            arguments={name: value for name, value in aten.arguments.items() if name not in inputs},
            inputs=tuple(self.shapes[name] for names in inputs.values() for name in names),
            weights={name: weight.array.shape for name, weight in weights.items()},
            batch=self._batch,
            buffers=frozenset(
                weights if all(self._is_pixels(name) for given in inputs.values() for name in given) else ()
            ),
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

    def _is_pixels(self, value: str) -> bool:
        """Whether a value is the image, perhaps normalised; the numbers that do that are not trained."""
        made = self._nodes.get(value)
        return made is None or (made.operator in _NORMALISING and self._is_pixels(made.inputs[0]))

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
        shape = self._shape_of(node, ours, {names[role]: weight.array.shape for role, weight in weights.items()})
        seen = self._nodes.get(sources[0]) if operator in _VIEWS else None
        if seen is not None and seen.operator in _VIEWS:  # what is seen twice is the same as seen once
            return self._seen_as(node, Reference(seen.inputs[0]), shape[1:], name)
        for role, weight in weights.items():
            self._own(names[role], weight)
        if operator == "batch_norm":  # torch's modules count batches and ONNX does not: keys stay those of the original
            names["num_batches_tracked"] = f"{name}.num_batches_tracked"
            self._weights[names["num_batches_tracked"]] = np.zeros((), dtype=np.int64)
        self.shapes[name] = shape
        self._nodes[name] = ours
        return Reference(name)

    def _shape_of(self, node: OnnxNode, ours: Node, weight_shapes: Mapping[str, Shape]) -> Shape:
        try:
            return node_shape(self._graph((ours,), ours.name, weight_shapes), ours, self.shapes)
        except UnsupportedOperator:
            raise
        except NetworkRefused as refused:
            raise NetworkRefused(node.where, f"{node.op_type}: {refused.why}") from refused

    def _own(self, name: str, weight: Weight) -> None:
        self._weights[name] = np.ascontiguousarray(weight.array)
        self.sources[name] = weight.source

    def _is_biased(self, node: OnnxNode, value: Reference, vector: Weight) -> bool:
        """A vector added to what a layer without bias gives becomes its bias, as in MatMul and Add."""
        layer = self._nodes.get(value.name)
        if layer is None or layer.operator not in ("linear", "conv2d") or "bias" in layer.weights:
            return False
        shape = self.shapes[value.name]
        axis = 1 if layer.operator == "conv2d" else len(shape) - 1
        if vector.array.size != shape[axis] or channel_axis(vector.array.shape, shape) != axis:
            return False
        name = f"{layer.name}.bias"
        self._own(name, Weight(vector.array.reshape(-1), vector.source))
        self._nodes[layer.name] = replace(layer, weights={**layer.weights, "bias": name})
        return True


def _with_columns_as_ours(weight: Weight, image: Shape) -> Weight:
    """A matrix over the flattened [H, W, C], for the flattened [C, H, W]."""
    _, channels, height, width = image
    filters = weight.array.shape[0]
    turned = weight.array.reshape(filters, height, width, channels).transpose(TO_CHANNELS_FIRST)
    return Weight(turned.reshape(filters, -1), weight.source)
