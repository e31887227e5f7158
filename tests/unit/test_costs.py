"""Mult-adds, parameters and memory against the papers' figures and against counting by hand."""

import json

import pytest
from torch import nn

from adapt.errors import NetworkRefused, UnsupportedOperator
from adapt.formats.pt2 import read_pt2
from adapt.graph.costs import costs, node_costs
from adapt.graph.network import Graph, Node, graph_from_json
from adapt.graph.shapes import infer_shapes
from tests.networks import MobileNetV1, MobileNetV2, ResNet18
from tests.pt2_files import exported

ONES = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}


def tiny(**changed) -> Graph:
    """conv 3x3 (3 -> 4) -> batch norm -> mean -> linear (4 -> 2) on 8x8 images."""
    statistics = ("weight", "bias", "running_mean", "running_var")
    nodes = (
        Node(name="a", operator="conv2d", inputs=("x",), attributes=ONES, weights={"weight": "c.weight"}, layer="c"),
        Node(
            name="b",
            operator="batch_norm",
            inputs=("a",),
            attributes={"eps": 1e-5, "momentum": 0.1},
            weights={role: f"n.{role}" for role in statistics},
        ),
        Node(name="m", operator="mean", inputs=("b",), attributes={"keepdim": False}),
        Node(name="y", operator="linear", inputs=("m",), weights={"weight": "f.weight", "bias": "f.bias"}),
    )
    shapes = {"c.weight": (4, 3, 3, 3), **{f"n.{role}": (4,) for role in statistics}}
    shapes |= {"f.weight": (2, 4), "f.bias": (2,)}
    graph = Graph(input_name="x", input_shape=(3, 8, 8), nodes=nodes, output="y", weight_shapes=shapes)
    return graph.with_weight_shapes(changed.get("shapes", {}))


def test_costs_are_those_counted_by_hand():
    counted = costs(tiny())
    assert counted.macs == 4 * 27 * 64 + 2 * 4
    assert counted.params == 4 * 27 + 8 + 8 + 2
    weights, activations = 4 * 27 + 16 + 10, 3 * 64 + 4 * 64 + 4 * 64 + 4 + 2
    assert counted.memory_bytes == 4 * (weights + activations)


def test_the_nodes_costs_add_up_to_the_whole():
    graph = tiny()
    entries = node_costs(graph)
    assert [entry.name for entry in entries] == [node.name for node in graph.nodes]
    assert sum(entry.macs for entry in entries) == costs(graph).macs
    assert sum(entry.params for entry in entries) == costs(graph).params


def test_a_pruned_candidate_costs_less_and_groups_follow_from_the_shapes():
    halves = {f"n.{role}": (2,) for role in ("weight", "bias", "running_mean", "running_var")}
    pruned = tiny(shapes={"c.weight": (2, 3, 3, 3), "f.weight": (2, 2), **halves})
    assert costs(pruned).macs == 2 * 27 * 64 + 2 * 2
    assert infer_shapes(pruned, batch=5)["a"] == (5, 2, 8, 8)


@pytest.mark.parametrize(
    ("shapes", "named"),
    [
        ({"f.weight": (2, 3)}, "y: linear"),
        ({"n.running_var": (3,)}, "b: batch_norm: running_var"),
        ({"c.weight": (4, 5, 3, 3)}, "c: conv2d"),
        ({"c.weight": (4, 3, 30, 3)}, "c: conv2d: a window of 30"),
        ({"f.bias": (3,)}, "y: linear: bias"),
    ],
)
def test_what_does_not_fit_names_the_layer(shapes, named):
    with pytest.raises(NetworkRefused, match=named):
        costs(tiny(shapes=shapes))


def test_an_operator_that_the_table_lacks_is_refused_by_name():
    graph = Graph(
        input_name="x",
        input_shape=(3, 8, 8),
        nodes=(Node(name="y", operator="magic", inputs=("x",)),),
        output="y",
        weight_shapes={},
    )
    with pytest.raises(UnsupportedOperator, match="magic"):
        infer_shapes(graph)


def test_a_graph_survives_its_json():
    graph = tiny()
    assert graph_from_json(json.loads(graph.to_json())) == graph


@pytest.mark.parametrize(
    ("build", "macs", "params"),
    [
        (lambda: MobileNetV1(1.0, 1000), 569e6, 4.2e6),
        (lambda: MobileNetV2(1.0, 1000), 300e6, 3.5e6),
        (ResNet18, 1820e6, 11.7e6),
    ],
    ids=["mobilenet-v1", "mobilenet-v2", "resnet-18"],
)
def test_the_papers_figures_at_224_pixels(build, macs, params, tmp_path):
    module: nn.Module = build()
    path = tmp_path / "net.pt2"
    path.write_bytes(exported(module, size=224))
    counted = costs(read_pt2(path).graph)
    assert counted.macs == pytest.approx(macs, rel=0.01)
    assert counted.params == pytest.approx(params, rel=0.015)
    assert counted.params == sum(parameter.numel() for parameter in module.parameters())
