"""The most memory that a network holds at one time, by the liveness of its values. Needs no torch."""

from collections.abc import Mapping
from math import inf, prod

from adapt.graph.costs import FLOAT_BYTES
from adapt.graph.network import Graph, Node
from adapt.graph.operators import OPERATORS, activation, arithmetic, normalization
from adapt.graph.shapes import infer_shapes

ELEMENT_BY_ELEMENT = frozenset(
    row.name for row in (*activation.OPERATORS, *arithmetic.OPERATORS, normalization.BATCH_NORM)
)
"""What may write its result where an input of the same size lies."""


def peak_memory_bytes(graph: Graph) -> int:
    """All weights, and the largest sum of activations that are alive at once, in float32 for one input.

    Nodes run in the graph's order; a value lives from its node to the last one that reads it, the network's output to
    the end. A view lies in its input's memory, and an element-by-element operator writes over an input of its output's
    size that nobody reads later, but never over the network's own input. Runtimes do better (they fuse more) or worse
    (they keep what they once had): this is a figure to report, not what a process takes.

    As a budget it would stick: two places often tie at the peak, and no single channel group lowers both.
    """
    shapes, owner = infer_shapes(graph), _owners(graph)
    read_last = _last_reads(graph, owner)
    place = {graph.input_name: graph.input_name}  # of each value that is no view: values may follow each other in one
    held = {graph.input_name: prod(graph.input_shape)}  # elements by place
    most = held[graph.input_name]
    for index, node in enumerate(graph.nodes):
        inputs = {owner[name] for name in node.inputs}
        ending = {value for value in inputs if read_last[value] == index}
        if owner[node.name] == node.name:
            size = prod(shapes[node.name])
            over = _written_over(node, ending - {graph.input_name}, {v: held[place[v]] for v in ending}, size)
            place[node.name] = node.name if over is None else place[over]
            held[place[node.name]] = size
            ending -= {over}
        most = max(most, sum(held.values()))
        unread = {node.name} if read_last[owner[node.name]] <= index else set()
        for value in ending | unread:
            held.pop(place[owner[value]], None)
    weights = {name for node in graph.nodes for name in node.weights.values()}
    return FLOAT_BYTES * (most + sum(prod(graph.weight_shapes[name]) for name in weights))


def _written_over(node: Node, ending: set[str], sizes: Mapping[str, int], size: int) -> str | None:
    if node.operator not in ELEMENT_BY_ELEMENT:
        return None
    return next((value for value in sorted(ending) if sizes[value] == size), None)


def _owners(graph: Graph) -> dict[str, str]:
    """Each value's own name, or for a view that of the value whose memory it shows."""
    owner = {graph.input_name: graph.input_name}
    for node in graph.nodes:
        owner[node.name] = node.name if OPERATORS[node.operator].allocates else owner[node.inputs[0]]
    return owner


def _last_reads(graph: Graph, owner: Mapping[str, str]) -> dict[str, float]:
    """The index of the node that reads a value last, itself or one of its views; of the output none does."""
    last: dict[str, float] = dict.fromkeys(owner.values(), -1)
    for index, node in enumerate(graph.nodes):
        last |= dict.fromkeys((owner[name] for name in node.inputs), index)
    return last | {owner[graph.output]: inf}
