"""The peak of memory against counting by hand."""

from adapt.graph.costs import costs
from adapt.graph.liveness import peak_memory_bytes
from adapt.graph.network import Graph
from tests.latency import GraphByHand, residual_graph


def weights_of(graph: Graph) -> int:
    return sum(_product(shape) for shape in graph.weight_shapes.values())


def _product(shape: tuple[int, ...]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result


def test_of_a_chain_only_two_neighbours_are_alive_and_activations_write_over_their_input() -> None:
    net = GraphByHand((3, 8, 8))
    value = net.node("relu", net.batch_norm(net.conv("input", 4, 3, 3), 4))
    value = net.node("relu", net.conv(value, 8, 4, 3))
    value = net.node("mean", value, attributes={"keepdim": False})
    net.linear(value, 10, 8)
    graph = net.graph()
    assert peak_memory_bytes(graph) == 4 * (weights_of(graph) + (4 + 8) * 64)
    assert peak_memory_bytes(graph) < costs(graph).memory_bytes


def test_a_value_that_a_shortcut_reads_later_stays() -> None:
    graph = residual_graph(hidden=96, channels=16)  # images of 32 x 32 at stride 2: places of 256 pixels
    assert peak_memory_bytes(graph) == 4 * (weights_of(graph) + (16 + 96 + 96) * 256)


def test_the_networks_input_is_never_written_over_and_views_take_nothing() -> None:
    net = GraphByHand((3, 8, 8))
    value = net.node("relu", "input")
    value = net.node("dropout", value, attributes={"p": 0.2})
    value = net.node("relu", value)
    value = net.node("mean", value, attributes={"keepdim": False})
    net.linear(value, 10, 3)
    graph = net.graph()
    assert peak_memory_bytes(graph) == 4 * (weights_of(graph) + 2 * 3 * 64)


def test_two_readers_of_one_value_keep_it_until_the_second() -> None:
    net = GraphByHand((3, 8, 8))
    stem = net.conv("input", 4, 3, 3)
    one, other = net.node("relu", stem), net.node("sigmoid", stem)
    value = net.node("mul", one, other)
    value = net.node("mean", value, attributes={"keepdim": False})
    net.linear(value, 10, 4)
    graph = net.graph()
    assert peak_memory_bytes(graph) == 4 * (weights_of(graph) + 2 * 4 * 64)
