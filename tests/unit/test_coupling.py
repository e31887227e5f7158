"""Ties as Torch-Pruning might report them for networks that it does not understand."""

import pytest

from adapt.graph.coupling import Coupling, Layers, Owned, judged, merged, to_groups
from adapt.graph.network import Graph, Node


def conv(name: str, source: str) -> Node:
    return Node(
        name=name,
        operator="conv2d",
        inputs=(source,),
        attributes={"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)},
        weights={"weight": f"{name}.weight"},
        layer=name,
    )


GRAPH = Graph(
    input_name="x",
    input_shape=(3, 4, 4),
    nodes=(conv("a", "x"), conv("b", "a"), conv("c", "b")),
    output="c",
    weight_shapes={"a.weight": (4, 3, 1, 1), "b.weight": (4, 4, 1, 1), "c.weight": (2, 4, 1, 1)},
)
LAYERS = Layers(GRAPH)


def owned(tensor: str, positions: dict[int, tuple[int, ...]], axis: int = 0) -> Owned:
    return Owned(tensor=tensor, axis=axis, filters=axis == 0, positions=positions)


def every(channels: int) -> dict[int, tuple[int, ...]]:
    return {channel: (channel,) for channel in range(channels)}


def coupling(root: str, *parts: Owned, channels: int = 4) -> Coupling:
    return Coupling(root=root, channels=channels, owned=(owned(root, every(channels)), *parts))


def test_a_tie_channel_by_channel_can_be_pruned() -> None:
    assert judged(coupling("a.weight", owned("b.weight", every(4), axis=1)), LAYERS).reason is None


@pytest.mark.parametrize(
    "positions",
    [
        {0: (0,), 1: (1,)},  # two channels own nothing
        {0: (0, 1), 1: (2,), 2: (3,), 3: ()},  # unequal
        {0: (0,), 1: (0,), 2: (1,), 3: (2,)},  # shared
        {0: (1,), 1: (2,), 2: (3,), 3: (4,)},  # outside
    ],
)
def test_a_tie_that_is_not_one_to_one_cannot_be_pruned(positions: dict[int, tuple[int, ...]]) -> None:
    found = judged(coupling("a.weight", owned("b.weight", positions, axis=1)), LAYERS)
    assert "only in part" in (found.reason or "")


def test_a_layer_of_which_only_some_filters_are_tied_cannot_be_pruned() -> None:
    found = judged(coupling("c.weight", owned("b.weight", every(2)), channels=2), LAYERS)
    assert "only in part" in (found.reason or "")


def test_a_single_channel_cannot_be_pruned() -> None:
    assert "single" in (judged(coupling("a.weight", channels=1), LAYERS).reason or "")


def test_couplings_that_share_a_layer_become_one_that_cannot_be_pruned() -> None:
    whole = merged([coupling("a.weight"), coupling("b.weight", owned("a.weight", every(4))), coupling("c.weight")])
    groups = to_groups(whole, LAYERS)
    assert [(group.layers, group.prunable) for group in groups] == [(("a", "b"), False), (("c",), True)]
    assert "several" in (groups[0].reason or "")


def test_two_groups_never_own_the_same_columns() -> None:
    columns = owned("c.weight", every(4), axis=1)
    whole = merged([coupling("a.weight", columns), coupling("b.weight", columns)])
    assert all("only in part" in (found.reason or "") for found in whole)
