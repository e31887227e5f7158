"""What a runtime runs as one, and whose time a kernel's is."""

from adapt.latency.attribution import UnitTime, attribute, with_plain_names
from adapt.latency.runtimes.contract import Kernel
from adapt.latency.units import find_units
from tests.latency import GraphByHand, residual_graph


def kernel(name: str, ms: float) -> Kernel:
    return Kernel(name=name, operator="Conv", ms=ms)


def test_a_convolution_takes_its_norm_activation_and_sum_with_it() -> None:
    assert [(unit.operator, unit.shape) for unit in find_units(residual_graph())] == [
        ("imageconv3x3s2+relu6", "3x32x32>16x16x16/3"),
        ("conv1x1s1+relu6", "16x16x16>96x16x16/16"),
        ("dwconv3x3s1+relu6", "96x16x16>96x16x16/1"),
        ("conv1x1s1+add", "96x16x16>16x16x16/96"),
        ("mean", "16x16x16>16"),
        ("linear", "16>10/16"),
    ]


def test_every_node_is_in_exactly_one_unit() -> None:
    graph = residual_graph()
    members = [name for unit in find_units(graph) for name in unit.nodes]
    assert sorted(members) == sorted(node.name for node in graph.nodes)


def test_what_two_nodes_read_stays_a_unit_of_its_own() -> None:
    net = GraphByHand()
    conv = net.conv("input", 8, 3)
    gate = net.node("sigmoid", conv)
    net.node("mul", conv, gate)
    assert [unit.operator for unit in find_units(net.graph())] == ["imageconv1x1s1", "sigmoid", "mul"]


def test_a_product_that_broadcasts_is_another_operator_than_one_that_does_not() -> None:
    net = GraphByHand()
    conv = net.conv("input", 8, 3)
    pooled = net.node("mean", conv, attributes={"keepdim": True})
    net.node("mul", pooled, conv)
    broadcast = find_units(net.graph())[-1]
    assert (broadcast.operator, broadcast.shape) == ("mul.broadcast", "8x32x32>8x32x32")


def test_stride_dilation_groups_and_uneven_kernels_are_part_of_the_key() -> None:
    net = GraphByHand((8, 32, 32))
    value = net.conv("input", 8, 8)
    value = net.node(
        "conv2d",
        value,
        attributes={"stride": (2, 1), "padding": (0, 3), "dilation": (2, 2)},
        weights={"weight": (16, 4, 1, 7)},
    )
    window = {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1), "dilation": (1, 1), "ceil_mode": False}
    net.node("max_pool2d", value, attributes=window)
    assert [unit.operator for unit in find_units(net.graph())][1:] == ["groupconv1x7s2x1d2", "max_pool2d3x3s2"]


def test_every_kernel_is_somebodys() -> None:
    graph = with_plain_names(residual_graph())
    units = find_units(graph)
    kernels = [
        kernel("n2_nchwc", 1.0),
        kernel("n5_nchwc", 2.0),
        kernel("fused n8", 4.0),
        kernel("n10_nchwc_token_7", 8.0),
        kernel("ReorderOutput_token_3", 16.0),
        kernel("n12/pool", 32.0),
        kernel("logits_nchwc", 64.0),
        kernel("ReorderOutput", 128.0),
    ]
    times, unattributed = attribute(kernels, units, graph)
    assert [time.ms for time in times] == [1.0, 2.0, 4.0, 8.0, 48.0, 192.0]
    assert [time.kernels for time in times] == [1, 1, 1, 1, 2, 2]
    assert unattributed == UnitTime(ms=0.0, kernels=0)


def test_a_profile_that_names_nobody_is_all_overhead() -> None:
    graph = with_plain_names(residual_graph())
    times, unattributed = attribute([kernel("engine_0", 3.0)], find_units(graph), graph)
    assert sum(time.ms for time in times) == 0
    assert unattributed == UnitTime(ms=3.0, kernels=1)


def test_plain_names_leave_the_structure_alone() -> None:
    graph = residual_graph()
    renamed = with_plain_names(graph)
    assert [(u.operator, u.shape) for u in find_units(renamed)] == [(u.operator, u.shape) for u in find_units(graph)]
    assert renamed.output == renamed.nodes[-1].name


def test_a_way_back_from_the_runtimes_own_layout_is_counted_where_what_was_made_is_read() -> None:
    net = GraphByHand()
    first, second = net.conv("input", 8, 3), net.conv("input", 16, 3)
    net.node("cat", first, second, attributes={"axis": 1})
    graph = with_plain_names(net.graph())
    back = Kernel(name="ReorderOutput_token_7", operator="ReorderOutput", ms=4.0)
    kernels = [kernel("n0_nchwc", 1.0), back, kernel("n1_nchwc", 2.0), back, kernel("n2", 8.0)]
    times, unattributed = attribute(kernels, find_units(graph), graph)
    assert [time.ms for time in times] == [1.0, 2.0, 16.0]
    assert unattributed.kernels == 0
