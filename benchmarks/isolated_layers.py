"""The look-up table as the peers build it: each layer as a network of its own, measured alone; a network is their sum.

Layers are convolutions and linear layers with the batch norm and the activation that follow them. What has no weights
is left out, as it is there.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from adapt.formats.onnx_writer import write_onnx
from adapt.graph.network import Graph, Node, Shape
from adapt.graph.shapes import infer_shapes
from adapt.latency.runtimes.contract import Runtime
from adapt.latency.units import find_units
from adapt.latency.variants import random_network

SECONDS = 0.015  # of runs of each layer
FEWEST_RUNS, MOST_RUNS = 5, 100
LAYERS = frozenset({"conv2d", "linear"})

Table = dict[tuple[str, str], float]


def isolated_ms(graphs: Sequence[Graph], runtime: Runtime) -> list[float]:
    """Of each of `graphs`, versions of one network, the sum over its layers; each shape is measured once."""
    table: Table = {}
    return [_sum_ms(graph, runtime, table) for graph in graphs]


def _sum_ms(graph: Graph, runtime: Runtime, table: Table) -> float:
    shapes, nodes = infer_shapes(graph), {node.name: node for node in graph.nodes}
    total = 0.0
    for unit in find_units(graph):
        members = [nodes[name] for name in unit.nodes if nodes[name].operator != "add"]
        if members[0].operator in LAYERS:
            key = unit.operator, unit.shape
            if key not in table:
                table[key] = _alone_ms(_layer(members, graph, shapes), runtime)
            total += table[key]
    return total


def _layer(members: Sequence[Node], graph: Graph, shapes: Mapping[str, Shape]) -> Graph:
    """A network of these nodes, one after the other."""
    shape = shapes[members[0].inputs[0]][1:]
    nodes: list[Node] = []
    if len(shape) == 1:
        nodes.append(
            Node(name="vector", operator="flatten", inputs=("image",), attributes={"start_dim": 1}, weights={})
        )
    for node in members:
        nodes.append(replace(node, inputs=(nodes[-1].name if nodes else "image",)))
    names = {name for node in members for name in node.weights.values()}
    height, width = shape[1:] if len(shape) == 3 else (1, 1)
    return Graph(
        input_name="image",
        input_shape=(shape[0], height, width),
        nodes=tuple(nodes),
        output=nodes[-1].name,
        weight_shapes={name: graph.weight_shapes[name] for name in names},
    )


def _alone_ms(layer: Graph, runtime: Runtime) -> float:
    session = runtime.load(write_onnx(random_network(layer)))
    try:
        one_ms = min(session.time_ms(3))
        runs = max(FEWEST_RUNS, min(MOST_RUNS, round(1000 * SECONDS / max(one_ms, 1e-6))))
        return statistics.median(session.time_ms(runs))
    finally:
        session.close()
