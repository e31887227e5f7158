"""Slice plans alone: what pruning does to tensors, and how plans are kept. No torch."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapt.graph.network import Graph, Network
from adapt.graph.pruning import (
    ChannelGroup,
    Kept,
    Slice,
    all_kept,
    groups_from_json,
    groups_to_json,
    prune,
    pruned_graph,
    pruned_shapes,
    unread,
)


def run(channels: int, each: int = 1, first: int = 0) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(range(first + c * each, first + (c + 1) * each)) for c in range(channels))


GROUPS = (
    ChannelGroup(
        id="a",
        kind="plain",
        layers=("a",),
        channels=4,
        slices=(
            Slice(tensor="a.weight", axis=0, positions=run(4), filters=True),
            Slice(tensor="a.bias", axis=0, positions=run(4)),
            Slice(tensor="c.weight", axis=1, positions=run(4)),  # a and b are concatenated
        ),
    ),
    ChannelGroup(
        id="b",
        kind="plain",
        layers=("b",),
        channels=3,
        slices=(
            Slice(tensor="b.weight", axis=0, positions=((2,), (0,), (1,)), filters=True),  # out of order
            Slice(tensor="c.weight", axis=1, positions=run(3, first=4)),
        ),
    ),
    ChannelGroup(
        id="c",
        kind="expansion",
        layers=("c",),
        channels=5,
        slices=(
            Slice(tensor="c.weight", axis=0, positions=run(5), filters=True),
            Slice(tensor="head.weight", axis=1, positions=run(5, each=4)),  # flattened
        ),
    ),
    ChannelGroup(
        id="head", kind="linear", layers=("head",), channels=2, slices=(), prunable=False, reason="it makes the classes"
    ),
)
SHAPES = {
    "a.weight": (4, 3, 3, 3),
    "a.bias": (4,),
    "b.weight": (3, 3, 1, 1),
    "c.weight": (5, 7),
    "head.weight": (2, 20),
}
GRAPH = Graph(input_name="x", input_shape=(3, 8, 8), nodes=(), output="x", weight_shapes=SHAPES)
NETWORK = Network(
    GRAPH, {name: np.arange(np.prod(shape), dtype=np.float32).reshape(shape) for name, shape in SHAPES.items()}
)


def subset(channels: tuple[int, ...]) -> st.SearchStrategy[tuple[int, ...]]:
    return st.sets(st.sampled_from(channels), min_size=1).map(lambda chosen: tuple(sorted(chosen)))


def kept_within(kept: Kept) -> st.SearchStrategy[Kept]:
    return st.fixed_dictionaries({g.id: subset(kept[g.id]) if g.prunable else st.just(kept[g.id]) for g in GROUPS})


def counts(kept: Kept) -> dict[str, int]:
    return {group: len(channels) for group, channels in kept.items()}


@given(kept_within(all_kept(GROUPS)))
def test_the_shapes_that_counts_predict_are_those_of_the_pruned_tensors(kept: Kept) -> None:
    pruned = prune(GRAPH, GROUPS, NETWORK, all_kept(GROUPS), kept)
    assert pruned_shapes(GRAPH, GROUPS, counts(kept)) == {name: t.shape for name, t in pruned.weights.items()}
    assert pruned.graph == pruned_graph(GRAPH, GROUPS, counts(kept))


@given(st.data())
def test_pruning_in_steps_is_pruning_at_once(data: st.DataObject) -> None:
    first = data.draw(kept_within(all_kept(GROUPS)))
    second = data.draw(kept_within(first))
    stepwise = prune(GRAPH, GROUPS, prune(GRAPH, GROUPS, NETWORK, all_kept(GROUPS), first), first, second)
    at_once = prune(GRAPH, GROUPS, NETWORK, all_kept(GROUPS), second)
    assert stepwise.graph == at_once.graph
    assert all(np.array_equal(stepwise.weights[name], at_once.weights[name]) for name in SHAPES)


@given(kept_within(all_kept(GROUPS)))
def test_what_stays_are_the_rows_and_columns_of_the_kept_channels(kept: Kept) -> None:
    pruned = prune(GRAPH, GROUPS, NETWORK, all_kept(GROUPS), kept).weights
    columns = [4 * channel + k for channel in kept["c"] for k in range(4)]
    np.testing.assert_array_equal(pruned["head.weight"], NETWORK.weights["head.weight"][:, columns])
    inputs = [*kept["a"], *(4 + channel for channel in kept["b"])]
    np.testing.assert_array_equal(pruned["c.weight"], NETWORK.weights["c.weight"][np.ix_(kept["c"], inputs)])
    rows = sorted((2, 0, 1)[channel] for channel in kept["b"])
    np.testing.assert_array_equal(pruned["b.weight"], NETWORK.weights["b.weight"][rows])


def test_a_pruned_network_shares_no_memory_with_the_one_it_came_from() -> None:
    pruned = prune(GRAPH, GROUPS, NETWORK, all_kept(GROUPS), all_kept(GROUPS) | {"a": (1, 2, 3)})
    assert not any(np.shares_memory(pruned.weights[name], NETWORK.weights[name]) for name in SHAPES)
    assert all(tensor.flags.c_contiguous and tensor.flags.owndata for tensor in pruned.weights.values())


def test_a_channel_that_is_gone_does_not_come_back() -> None:
    before = all_kept(GROUPS) | {"a": (0, 1)}
    network = prune(GRAPH, GROUPS, NETWORK, all_kept(GROUPS), before)
    with pytest.raises(ValueError, match=r"group a: channels \[3\] were pruned before"):
        prune(GRAPH, GROUPS, network, before, all_kept(GROUPS) | {"a": (0, 3)})


@pytest.mark.parametrize(
    ("change", "words"), [({"a": ()}, "at least must stay"), ({"head": (0,)}, "makes the classes")]
)
def test_the_last_channel_and_the_head_stay(change: Kept, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        prune(GRAPH, GROUPS, NETWORK, all_kept(GROUPS), {**all_kept(GROUPS), **change})


def test_unread_channels_lose_their_columns_and_nothing_else() -> None:
    silenced = unread(NETWORK, GROUPS, all_kept(GROUPS) | {"c": (0, 2, 3, 4)})
    expected = NETWORK.weights["head.weight"].copy()
    expected[:, 4:8] = 0
    np.testing.assert_array_equal(silenced.weights["head.weight"], expected)
    assert all(silenced.weights[name] is NETWORK.weights[name] for name in SHAPES if name != "head.weight")


def test_plans_come_back_from_text_as_they_were() -> None:
    assert groups_from_json(groups_to_json(GROUPS)) == GROUPS


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(1, 40), st.integers(0, 9))
def test_any_plan_comes_back_from_text(each: list[int], channels: int, first: int) -> None:
    slices = tuple(Slice(tensor=f"t{n}", axis=n % 2, positions=run(channels, n, first)) for n in each)
    scattered = Slice(tensor="s", axis=0, positions=run(channels)[::-1], filters=True)
    group = replace(GROUPS[0], channels=channels, slices=(*slices, scattered), channel_multiple=2)
    assert groups_from_json(groups_to_json([group])) == (group,)


def test_a_plan_of_many_channels_is_a_short_text() -> None:
    wide = replace(GROUPS[0], channels=4096, slices=(Slice(tensor="w", axis=1, positions=run(4096, each=49)),))
    assert len(groups_to_json([wide])) < 300


def test_text_of_another_version_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="version 2"):
        groups_from_json('{"version": 2, "groups": []}')
