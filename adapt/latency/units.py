"""What a runtime runs as one: a convolution with the batch norm, activation and residual sum that follow it.

A unit has two keys. Its `operator` is all that pruning does not change: "dwconv3x3s2+relu6", "linear", "mul". Its
`shape` is the rest, largest input > output, and for layers with filters the input channels per filter:
"96x112x112>96x56x56/1". The table's entries carry the same two keys.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from adapt.graph.network import Attribute, Graph, Node, Shape
from adapt.graph.operators import OPERATORS
from adapt.graph.operators.operator import same_shape
from adapt.graph.shapes import infer_shapes, node_shape

OVERHEAD = "overhead"
"""The operator key of what a run costs beside its kernels."""

# folded into the layer before, or nothing at run time
_SILENT = frozenset({"batch_norm", "dropout", "feature_dropout", "identity"})


@dataclass(frozen=True, kw_only=True)
class Unit:
    """`nodes` are names of the graph's nodes, in order."""

    operator: str
    shape: str
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class UnitPlan:
    """Which nodes belong together; the same for all pruned versions of a network."""

    members: tuple[tuple[Node, ...], ...]

    def units(self, graph: Graph) -> tuple[Unit, ...]:
        """The units of `graph`, which must have the nodes that the plan was made of, in topological order."""
        shapes = infer_shapes(graph)
        return tuple(_unit(members, graph, shapes) for members in self.members)


@dataclass(frozen=True)
class UnitSignature:
    """What a unit's keys follow from: the shapes of these values and weights of the graph. `output` is the only value
    of its that others read."""

    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    output: str


def signature(members: Sequence[Node]) -> UnitSignature:
    inside = {node.name for node in members}
    return UnitSignature(
        inputs=tuple(name for node in members for name in node.inputs if name not in inside),
        weights=tuple(name for node in members for name in node.weights.values()),
        output=members[-1].name,
    )


def unit_of(members: tuple[Node, ...], graph: Graph, shapes: dict[str, Shape]) -> Unit:
    """The unit of these nodes, whose inputs' shapes are in `shapes`; those of what they make are added."""
    for node in members:
        shapes[node.name] = node_shape(graph, node, shapes)
    return _unit(members, graph, shapes)


def find_units(graph: Graph) -> tuple[Unit, ...]:
    """Every node of `graph` in exactly one unit. Raises NetworkRefused where the shapes do not fit together."""
    return plan_units(graph.nodes).units(graph)


def plan_units(nodes: Sequence[Node]) -> UnitPlan:
    """Joins to a node what works on its output alone, element by element, and a sum to the first convolution in it."""
    consumers = Counter(name for node in nodes for name in set(node.inputs))
    units: list[list[Node]] = []
    ends: dict[str, list[Node]] = {}  # last node of a unit -> the unit
    for node in nodes:
        unit = next((ends[name] for name in node.inputs if _joins(node, name, ends, consumers)), None)
        if unit is None:
            unit = []
            units.append(unit)
        else:
            del ends[unit[-1].name]
        unit.append(node)
        ends[node.name] = unit
    return UnitPlan(tuple(tuple(unit) for unit in units))


def _joins(node: Node, name: str, ends: Mapping[str, Sequence[Node]], consumers: Mapping[str, int]) -> bool:
    if name not in ends or consumers[name] != 1:
        return False
    if node.operator == "add":
        return ends[name][0].operator == "conv2d"
    return _is_elementwise(node.operator)


def _is_elementwise(operator: str) -> bool:
    row = OPERATORS[operator]
    return row.arity == 1 and (row.shape is same_shape or not row.allocates or operator == "batch_norm")


def _unit(members: tuple[Node, ...], graph: Graph, shapes: Mapping[str, Shape]) -> Unit:
    head = members[0]
    tail = [node.operator for node in members[1:] if _takes_time(node.operator)]
    return Unit(
        operator="+".join((_head_key(head, graph, shapes), *tail)),
        shape=_shape_key(head, graph, shapes),
        nodes=tuple(node.name for node in members),
    )


def _takes_time(operator: str) -> bool:
    return operator not in _SILENT and OPERATORS[operator].allocates


def _head_key(head: Node, graph: Graph, shapes: Mapping[str, Shape]) -> str:
    if head.operator == "conv2d":
        filters, per_group, height, width = graph.weight_shapes[head.weights["weight"]]
        key = f"{_conv_kind(head, filters, per_group, graph, shapes)}{height}x{width}"
    elif isinstance(kernel := head.attributes.get("kernel_size"), tuple):
        key = f"{head.operator}{'x'.join(map(str, kernel))}"
    elif head.operator == "cat":  # whether its parts are alike is for pruning to change
        return f"cat{len(head.inputs)}"
    elif len(head.inputs) > 1 and len({shapes[name] for name in head.inputs}) > 1:
        return f"{head.operator}.broadcast"
    else:
        return head.operator
    stride, dilation = head.attributes.get("stride"), head.attributes.get("dilation")
    key += f"s{_joined(stride)}"
    if dilation not in (None, (1, 1)):
        key += f"d{_joined(dilation)}"
    return key


def _joined(pair: Attribute) -> str:
    """ "2" for (2, 2), "2x1" for (2, 1)."""
    return "x".join(map(str, dict.fromkeys(pair))) if isinstance(pair, tuple) else str(pair)


def _conv_kind(head: Node, filters: int, per_group: int, graph: Graph, shapes: Mapping[str, Shape]) -> str:
    """Runtimes have kernels of their own for the image's few channels and for depthwise convolutions."""
    if head.inputs[0] == graph.input_name:
        return "imageconv"
    channels = shapes[head.inputs[0]][1]
    if per_group == 1 and filters == channels:
        return "dwconv"
    return "conv" if per_group == channels else "groupconv"


def _shape_key(head: Node, graph: Graph, shapes: Mapping[str, Shape]) -> str:
    largest = max((shapes[name][1:] for name in head.inputs), key=prod)
    made = shapes[head.name][1:]
    if head.operator == "linear" and len(made) == 3:  # over [H, W, C]: channels first, as everywhere in the table
        largest, made = (largest[2], *largest[:2]), (made[2], *made[:2])
    key = f"{'x'.join(map(str, largest))}>{'x'.join(map(str, made))}"
    if head.operator in ("conv2d", "linear"):
        key += f"/{graph.weight_shapes[head.weights['weight']][1]}"
    return key
