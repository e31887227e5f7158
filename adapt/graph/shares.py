"""Which kinds of layers a network's mult-adds and parameters are in, as MobileNetV1's paper tells it in Table 2."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from adapt.graph.costs import node_costs
from adapt.graph.network import Graph, Node
from adapt.graph.shapes import infer_shapes


@dataclass(frozen=True, kw_only=True)
class Share:
    """Fractions 0-1 of the whole network's."""

    macs: float
    params: float


def shares_by_kind(graph: Graph) -> Mapping[str, Share]:
    """Kind -> share, largest mult-adds first: "conv1x1", "conv3x3", "conv1x7" ..., the same with "grouped-" in front,
    "depthwise", "linear".

    Parameters are those of filters and linear layers alone: biases and batch norm, half a per cent of MobileNetV1,
    are left out, as the paper does. Raises NetworkRefused where shapes do not fit.
    """
    macs: dict[str, int] = {}
    params: dict[str, int] = {}
    shapes = infer_shapes(graph)
    for node, entry in zip(graph.nodes, node_costs(graph), strict=True):
        if "weight" not in node.weights or len(graph.weight_shapes[node.weights["weight"]]) < 2:
            continue
        kind = _kind(node, graph, shapes[node.inputs[0]][1])
        macs[kind] = macs.get(kind, 0) + entry.macs
        params[kind] = params.get(kind, 0) + prod(graph.weight_shapes[node.weights["weight"]])
    all_macs, all_params = sum(macs.values()), sum(params.values())
    return {
        kind: Share(macs=count / all_macs if all_macs else 0.0, params=params[kind] / all_params)
        for kind, count in sorted(macs.items(), key=lambda item: (-item[1], item[0]))
    }


def _kind(node: Node, graph: Graph, channels: int) -> str:
    shape = graph.weight_shapes[node.weights["weight"]]
    if len(shape) != 4:
        return node.operator
    _, per_group, height, width = shape
    if per_group == channels:
        return f"conv{height}x{width}"
    return "depthwise" if per_group == 1 else f"grouped-conv{height}x{width}"
