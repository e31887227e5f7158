"""Weights to begin training from, of architectures of the zoo and of strangers."""

import numpy as np

from adapt.graph.network import Graph, Network, Node
from adapt.zoo.initial import newly_drawn


def strange_network() -> Network:
    """A layer norm over three axes, learned and fixed factors and summands: what no architecture of the zoo has."""
    shapes = {
        "conv.weight": (4, 3, 3, 3),
        "norm.weight": (4, 8, 8),
        "norm.bias": (4, 8, 8),
        "learned.weight": (4, 1, 1),
        "summand.weight": (1, 4, 1, 1),
        "fixed.weight": (1, 4, 1, 1),
        "head.weight": (10, 4),
        "head.bias": (10,),
    }

    def node(name: str, operator: str, before: str, **attributes: bool | str) -> Node:
        roles = {role: f"{name}.{role}" for role in ("weight", "bias") if f"{name}.{role}" in shapes}
        return Node(name=name, operator=operator, inputs=(before,), attributes=attributes, weights=roles)

    nodes = (
        node("conv", "conv2d", "image"),
        node("norm", "layer_norm", "conv"),
        node("learned", "scale", "norm", how="mul", trained=True),
        node("summand", "scale", "learned", how="add", trained=True),
        node("fixed", "scale", "summand", how="mul", trained=False),
        node("head", "linear", "fixed"),
    )
    graph = Graph(input_name="image", input_shape=(3, 8, 8), nodes=nodes, output="head", weight_shapes=shapes)
    draw = np.random.default_rng(0)
    return Network(graph, {name: draw.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()})


def test_newly_drawn_weights_are_a_beginning_and_constants_stay() -> None:
    network = strange_network()
    drawn = newly_drawn(network, 1).weights
    assert list(drawn) == list(network.weights)
    assert all(drawn[name].dtype == np.float32 for name in drawn)
    for name, value in (("norm.weight", 1), ("norm.bias", 0), ("learned.weight", 1), ("summand.weight", 0)):
        assert (drawn[name] == value).all(), name
    assert (drawn["fixed.weight"] == network.weights["fixed.weight"]).all()
    assert drawn["conv.weight"].std() > 0
    assert (drawn["head.bias"] == 0).all()


def test_they_depend_on_the_seed_and_not_on_the_weights_there_were() -> None:
    network = strange_network()
    other = Network(network.graph, {name: tensor + 1 for name, tensor in network.weights.items()})
    drawn = newly_drawn(network, 1).weights["conv.weight"]
    assert (drawn == newly_drawn(other, 1).weights["conv.weight"]).all()
    assert (drawn != newly_drawn(network, 2).weights["conv.weight"]).any()
