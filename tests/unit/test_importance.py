import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapt.graph.network import Graph, Network
from adapt.graph.pruning import ChannelGroup, Slice, all_kept, prune
from adapt.importance import keep_largest, l2

IDENTITY = tuple((channel,) for channel in range(4))
GROUP = ChannelGroup(
    id="expand",
    kind="expansion",
    layers=("expand", "depthwise", "around"),
    channels=4,
    slices=(
        Slice(tensor="expand.weight", axis=0, positions=IDENTITY, filters=True),
        Slice(tensor="expand.bias", axis=0, positions=IDENTITY),
        Slice(tensor="depthwise.weight", axis=0, positions=IDENTITY, filters=True),
        Slice(tensor="around.weight", axis=0, positions=((6, 7), (0, 1), (2, 3), (4, 5)), filters=True),
        Slice(tensor="project.weight", axis=1, positions=IDENTITY),
    ),
)


def network(seed: int = 0) -> Network:
    draw = np.random.default_rng(seed)
    shapes = {
        "expand.weight": (4, 3, 1, 1),
        "expand.bias": (4,),
        "depthwise.weight": (4, 1, 3, 3),
        "around.weight": (8, 5),
        "project.weight": (2, 4, 1, 1),
    }
    weights = {name: draw.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    graph = Graph(input_name="x", input_shape=(3, 8, 8), nodes=(), output="x", weight_shapes=shapes)
    return Network(graph, weights)


def test_a_channel_counts_by_the_norm_of_its_filters_in_all_tied_layers_and_nothing_else() -> None:
    weights = network().weights
    rows = {0: [6, 7], 1: [0, 1], 2: [2, 3], 3: [4, 5]}
    expected = [
        np.linalg.norm(
            np.concatenate(
                [
                    weights["expand.weight"][channel].ravel(),
                    weights["depthwise.weight"][channel].ravel(),
                    weights["around.weight"][rows[channel]].ravel(),
                ]
            ).astype(np.float64)
        )
        for channel in range(4)
    ]
    np.testing.assert_allclose(l2(GROUP, network(), (0, 1, 2, 3)), expected, rtol=1e-12)


@given(st.sets(st.integers(0, 3), min_size=1), st.integers(0, 5))
def test_the_importance_of_what_stays_does_not_change_by_pruning(kept: set[int], seed: int) -> None:
    original, present = network(seed), tuple(sorted(kept))
    pruned = prune(original.graph, [GROUP], original, all_kept([GROUP]), {"expand": present})
    np.testing.assert_array_equal(l2(GROUP, pruned, present), l2(GROUP, original, (0, 1, 2, 3))[list(present)])


def test_filters_of_zeros_are_of_no_importance_rather_than_undefined() -> None:
    zero = Network(network().graph, {name: np.zeros_like(tensor) for name, tensor in network().weights.items()})
    assert l2(GROUP, zero, (0, 1, 2, 3)).tolist() == [0.0] * 4


def test_tensors_with_other_channels_than_said_are_noticed() -> None:
    with pytest.raises(ValueError, match=r"expand\.weight has 4 filters, 2 channels"):
        l2(GROUP, network(), (0, 1))


def test_a_group_that_cannot_be_pruned_has_no_importance() -> None:
    head = ChannelGroup(
        id="head", kind="linear", layers=("head",), channels=4, slices=(), prunable=False, reason="it makes the classes"
    )
    with pytest.raises(ValueError, match="it makes the classes"):
        l2(head, network(), (0, 1, 2, 3))


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=1, max_size=30), st.data())
def test_the_largest_stay_and_of_equals_the_first(values: list[float], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(values)))
    ranked = sorted(range(len(values)), key=lambda position: (-values[position], position))
    assert keep_largest(np.array(values), count) == tuple(sorted(ranked[:count]))


@pytest.mark.parametrize("count", [0, 4])
def test_a_count_that_is_not_there_cannot_be_kept(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} of 3"):
        keep_largest(np.ones(3), count)


def test_diverged_weights_are_not_ranked() -> None:
    with pytest.raises(ValueError, match="not finite"):
        keep_largest(np.array([1.0, np.nan]), 1)
