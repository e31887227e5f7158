"""ONNX bytes straight from the graph, in milliseconds: torch's exporters take seconds, and every candidate needs them.

Node names are the graph's, so that a profile's times can be attributed to nodes ("mean/pool" belongs to "mean").
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from adapt.graph.network import Graph, Network, Node, Shape
from adapt.graph.operators import OPERATORS
from adapt.graph.operators.operator import OnnxCall, OnnxNode
from adapt.graph.shapes import infer_shapes

OPSET = 17
IR_VERSION = 8
OUTPUT_NAME = "logits"
NO_METADATA: Mapping[str, str] = {}
_TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}


def write_onnx(network: Network, metadata: Mapping[str, str] = NO_METADATA) -> bytes:
    """The network as an ONNX model (opset 17): a dynamic batch, weights inside, input named as in the graph,
    output "logits". The same network gives the same bytes. Batch norm stays an operator of its own. `metadata` become
    properties of the model.

    Raises NetworkRefused where shapes do not fit.
    """
    graph = network.graph
    shapes = infer_shapes(graph)
    constants: list[TensorProto] = []
    nodes = [node for ours in graph.nodes for node in _spell(ours, graph, shapes, constants)]
    needed = {value for node in nodes for value in node.input}
    weights = [_tensor(_value(name), network.weights[name]) for name in graph.weight_shapes if _value(name) in needed]
    batched: dict[str, list[str | int | None]] = {name: ["N", *shape[1:]] for name, shape in shapes.items()}
    described = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(graph.input_name, TensorProto.FLOAT, batched[graph.input_name])],
        [helper.make_tensor_value_info(_output(graph), TensorProto.FLOAT, batched[graph.output])],
        initializer=[*weights, *constants],
    )
    model = helper.make_model(
        described,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="netadapt",
    )
    helper.set_model_props(model, dict(metadata))
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _spell(node: Node, graph: Graph, shapes: dict[str, Shape], constants: list[TensorProto]) -> list[onnx.NodeProto]:
    def constant(suffix: str, array: NDArray[Any]) -> str:
        name = f"{node.name}/{suffix}"
        constants.append(_tensor(name, array))
        return name

    call = OnnxCall(
        name=node.name,
        inputs=tuple(_renamed(name, graph) for name in node.inputs),
        shapes=tuple(shapes[name] for name in node.inputs),
        attributes=node.attributes,
        weights={role: _value(name) for role, name in node.weights.items()},
        weight_shapes={role: graph.weight_shapes[name] for role, name in node.weights.items()},
        constant=constant,
    )
    return [_proto(spelled, node, graph) for spelled in OPERATORS[node.operator].onnx(call)]


def _proto(spelled: OnnxNode, node: Node, graph: Graph) -> onnx.NodeProto:
    output = spelled.output or _renamed(node.name, graph)
    return helper.make_node(
        spelled.op_type,
        spelled.inputs,
        [output],
        name=spelled.output or node.name,
        **{name: _attribute(value) for name, value in spelled.attributes.items()},
    )


def _attribute(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _value(weight: str) -> str:
    """Weights in a name space of their own: a layer may be called like a value."""
    return f"weights/{weight}"


def _renamed(value: str, graph: Graph) -> str:
    """Values keep their names but for the output, and for one that is called like the output."""
    if value == graph.output:
        return _output(graph)
    return f"{value}/value" if value == OUTPUT_NAME and value != graph.input_name else value


def _output(graph: Graph) -> str:
    return OUTPUT_NAME if graph.input_name != OUTPUT_NAME else f"{OUTPUT_NAME}/output"


def _tensor(name: str, array: NDArray[Any]) -> TensorProto:
    tensor = TensorProto(name=name, data_type=_TYPES[array.dtype], dims=array.shape)
    tensor.raw_data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return tensor
