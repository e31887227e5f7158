"""The shape of every value of a graph, from its input and its weights. Needs no torch."""

from adapt.errors import NetworkRefused, UnsupportedOperator
from adapt.graph.network import Graph, Node, Shape
from adapt.graph.operators import OPERATORS


def infer_shapes(graph: Graph, batch: int = 1) -> dict[str, Shape]:
    """Value name -> shape, the input's included, in the order of the nodes.

    Raises NetworkRefused naming the layer where something does not fit, UnsupportedOperator for an operator that
    the table lacks.
    """
    shapes: dict[str, Shape] = {graph.input_name: (batch, *graph.input_shape)}
    for node in graph.nodes:
        shapes[node.name] = node_shape(graph, node, shapes)
    return shapes


def node_shape(graph: Graph, node: Node, shapes: dict[str, Shape]) -> Shape:
    """The output shape of one node, given those of the earlier values. Raises as `infer_shapes` does."""
    operator = OPERATORS.get(node.operator)
    if operator is None:
        raise UnsupportedOperator(layer_name(node), node.operator)
    try:
        inputs = [shapes[name] for name in node.inputs]
        weights = {role: graph.weight_shapes[name] for role, name in node.weights.items()}
        return operator.shape(inputs, node.attributes, weights)
    except KeyError as missing:
        raise NetworkRefused(layer_name(node), f"{missing.args[0]!r} is not there") from missing
    except ValueError as mismatch:
        raise NetworkRefused(layer_name(node), f"{node.operator}: {mismatch}") from mismatch


def check_images_apart(graph: Graph) -> dict[str, Shape]:
    """The shapes for a batch of one. Raises NetworkRefused where a second image would change more than dimension 0."""
    at_one, at_two = infer_shapes(graph, 1), infer_shapes(graph, 2)
    for name, shape in at_one.items():
        if shape[0] != 1 or at_two[name] != (2, *shape[1:]):
            raise NetworkRefused(name, "mixes the images of a batch")
    return at_one


def layer_name(node: Node) -> str:
    """How an error names a node: the module in the user's network, or the node itself."""
    return node.layer or node.name


def check_classifier(graph: Graph, shapes: dict[str, Shape]) -> int:
    """The number of classes. Raises NetworkRefused unless the output is [N, classes] with at least two classes."""
    output = shapes.get(graph.output)
    if output is None or graph.output == graph.input_name:
        raise NetworkRefused("output", f"{graph.output!r} is no value that the network computes")
    if len(output) != 2 or output[1] < 2:
        shown = ", ".join(["N", *(str(size) for size in output[1:])])
        raise NetworkRefused(
            "output", f"must be [N, classes] with two classes or more, is [{shown}]; only image classifiers are adapted"
        )
    return output[1]
