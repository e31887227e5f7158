from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from adapt.errors import AdaptError
from adapt.graph.network import Graph, Network
from adapt.graph.pruning import ChannelGroup, Layout, Slice, all_kept, prune
from adapt.importance import (
    CRITERIA,
    Evidence,
    Subject,
    activation,
    geometric_median,
    keep_largest,
    l1,
    l2,
    random,
    taylor,
)
from adapt.spec import Importance

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
        Slice(tensor="flat.weight", axis=1, positions=((2, 3), (0, 1), (4, 5), (6, 7))),
        Slice(tensor="scale.weight", axis=1, positions=IDENTITY),
    ),
)
HEAD = ChannelGroup(
    id="head", kind="linear", layers=("head",), channels=4, slices=(), prunable=False, reason="it makes the classes"
)
FILTERS_OF_AROUND = {0: [6, 7], 1: [0, 1], 2: [2, 3], 3: [4, 5]}
ALL = (0, 1, 2, 3)


def network(seed: int = 0) -> Network:
    draw = np.random.default_rng(seed)
    shapes = {
        "expand.weight": (4, 3, 1, 1),
        "expand.bias": (4,),
        "depthwise.weight": (4, 1, 3, 3),
        "around.weight": (8, 5),
        "project.weight": (2, 4, 1, 1),
        "flat.weight": (3, 8),
        "scale.weight": (1, 4, 1, 1),
    }
    weights = {name: draw.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    graph = Graph(input_name="x", input_shape=(3, 8, 8), nodes=(), output="x", weight_shapes=shapes)
    return Network(graph, weights)


class Told:
    """Evidence that the test tells; that it was computed right is for the tests of training."""

    def __init__(self, seed: int = 0, batches: Sequence[Mapping[str, NDArray[np.float64]]] = ()) -> None:
        self.seed = seed
        self._batches = batches

    def activations(self) -> Mapping[str, NDArray[np.float64]]:
        return self._batches[0]

    def saliences(self) -> Sequence[Mapping[str, NDArray[np.float64]]]:
        return self._batches


def told(present: Sequence[int] = ALL) -> Told:
    """Of the columns that these channels own, in two batches."""
    columns = {"project.weight": list(present), "flat.weight": sorted(p for c in present for p in (2 * c, 2 * c + 1))}
    draw = np.random.default_rng(3)
    whole = [{"project.weight": draw.standard_normal(4), "flat.weight": draw.standard_normal(8)} for _ in range(2)]
    owner = {0: 1, 1: 0, 2: 2, 3: 3}  # which channel of the group the pairs of columns of `flat` belong to
    kept = [pair for pair in range(4) if owner[pair] in present]
    columns["flat.weight"] = [position for pair in kept for position in (2 * pair, 2 * pair + 1)]
    return Told(batches=[{tensor: batch[tensor][columns[tensor]] for tensor in batch} for batch in whole])


def subject(found: Network | None = None, present: tuple[int, ...] = ALL, evidence: Evidence | None = None) -> Subject:
    layout = Layout(network().graph, [GROUP, HEAD], {"expand": present, "head": ALL})
    return Subject(network=found or network(), layout=layout, evidence=evidence or told(present))


def filters_of(channel: int) -> NDArray[np.float64]:
    """All that produces a channel, as one vector."""
    weights = network().weights
    parts = [
        weights["expand.weight"][channel],
        weights["depthwise.weight"][channel],
        weights["around.weight"][FILTERS_OF_AROUND[channel]],
    ]
    return np.concatenate([part.ravel() for part in parts]).astype(np.float64)


def test_a_channel_counts_by_the_norm_of_its_filters_in_all_tied_layers_and_nothing_else() -> None:
    vectors = [filters_of(channel) for channel in range(4)]
    np.testing.assert_allclose(l2(GROUP, subject()), [np.linalg.norm(vector) for vector in vectors], rtol=1e-12)
    np.testing.assert_allclose(l1(GROUP, subject()), [np.abs(vector).sum() for vector in vectors], rtol=1e-12)


def test_the_geometric_median_is_judged_by_the_distances_to_all_other_channels() -> None:
    vectors = [filters_of(channel) for channel in range(4)]
    expected = [sum(np.linalg.norm(one - other) for other in vectors) for one in vectors]
    np.testing.assert_allclose(geometric_median(GROUP, subject()), expected, rtol=1e-9)


def test_of_channels_the_one_that_others_can_stand_in_for_is_the_least_important_by_the_geometric_median() -> None:
    weights = dict(network().weights)
    for tensor in ("expand.weight", "depthwise.weight"):
        weights[tensor] = np.array([np.full_like(weights[tensor][0], size) for size in (-4.0, 0.1, 5.0, -0.3)])
    weights["around.weight"] = np.zeros_like(weights["around.weight"])
    found = geometric_median(GROUP, subject(Network(network().graph, weights)))
    assert found.argmin() in (1, 3)
    assert found.argmax() == 2


def test_taylor_is_the_squared_change_of_the_loss_over_all_that_read_a_channel_averaged_over_batches() -> None:
    first, second = told().saliences()
    changes = [
        [
            batch["project.weight"][channel] + sum(batch["flat.weight"][list(pair)])
            for channel, pair in ((0, (2, 3)), (1, (0, 1)), (2, (4, 5)), (3, (6, 7)))
        ]
        for batch in (first, second)
    ]
    expected = (np.square(changes[0]) + np.square(changes[1])) / 2
    np.testing.assert_allclose(taylor(GROUP, subject()), expected, rtol=1e-12)


def test_the_activation_of_a_channel_is_that_of_its_positions_as_each_layer_reads_them() -> None:
    figures = told().activations()
    expected = [
        figures["project.weight"][channel] + figures["flat.weight"][list(pair)].mean()
        for channel, pair in ((0, (2, 3)), (1, (0, 1)), (2, (4, 5)), (3, (6, 7)))
    ]
    np.testing.assert_allclose(activation(GROUP, subject()), expected, rtol=1e-12)


def test_random_importance_depends_on_the_seed_and_the_group_alone() -> None:
    first = random(GROUP, subject(network(0), evidence=Told(seed=1)))
    assert (first == random(GROUP, subject(network(9), evidence=Told(seed=1)))).all()
    assert (first != random(GROUP, subject(network(0), evidence=Told(seed=2)))).all()


def test_there_is_a_criterion_for_every_importance_that_can_be_asked_for() -> None:
    assert set(CRITERIA) == set(get_args(Importance))


@pytest.mark.parametrize("name", ["l1", "l2", "taylor", "activation"])
@given(st.sets(st.integers(0, 3), min_size=1), st.integers(0, 5))
def test_the_importance_of_what_stays_does_not_change_by_pruning(name: Importance, kept: set[int], seed: int) -> None:
    original, present = network(seed), tuple(sorted(kept))
    pruned = prune(original.graph, [GROUP], original, all_kept([GROUP]), {"expand": present})
    before = CRITERIA[name](GROUP, subject(original))[list(present)]
    np.testing.assert_allclose(CRITERIA[name](GROUP, subject(pruned, present)), before, rtol=1e-12)


@pytest.mark.parametrize("name", ["l1", "l2", "geometric-median"])
def test_filters_of_zeros_are_of_no_importance_rather_than_undefined(name: Importance) -> None:
    zero = Network(network().graph, {name: np.zeros_like(tensor) for name, tensor in network().weights.items()})
    assert CRITERIA[name](GROUP, subject(zero)).tolist() == [0.0] * 4


def test_tensors_with_other_channels_than_said_are_noticed() -> None:
    with pytest.raises(ValueError, match=r"expand\.weight is 4 long on axis 0, 2 are left"):
        l2(GROUP, subject(network(), (0, 1)))
    with pytest.raises(ValueError, match=r"project\.weight is 4 long on axis 1, 2 are left"):
        taylor(GROUP, subject(network(), (0, 1), told()))


@pytest.mark.parametrize("name", ["l1", "l2", "geometric-median", "taylor", "activation"])
def test_a_group_that_cannot_be_pruned_has_no_importance(name: Importance) -> None:
    with pytest.raises(ValueError, match="it makes the classes"):
        CRITERIA[name](HEAD, subject())


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
    with pytest.raises(AdaptError, match="not finite"):
        keep_largest(np.array([1.0, np.nan]), 1)
