"""Pruning is right for every group of every covered family: the float64 check of what nothing reads."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from adapt.errors import NetworkRefused
from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup, Kept, Slice, all_kept, prune, pruned_graph, pruned_shapes, unread
from adapt.graph.shapes import infer_shapes
from adapt.groups import channel_groups
from adapt.pruning_check import compute, wrongly_pruned
from tests.networks import FAMILIES, uploaded
from tests.odd_networks import ODD, ODD_SHAPE

ODD_BY_NAME = {network.__name__: network for network in ODD}


@cache
def family(name: str) -> tuple[Network, tuple[ChannelGroup, ...]]:
    network = uploaded(FAMILIES[name]())
    return network, channel_groups(network)


@cache
def odd(name: str) -> tuple[Network, Mapping[str, ChannelGroup]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = uploaded(ODD_BY_NAME[name](), ODD_SHAPE)
    return network, {group.id: group for group in channel_groups(network)}


def random_kept(groups: tuple[ChannelGroup, ...], shrunk: list[ChannelGroup], draw: np.random.Generator) -> Kept:
    kept = all_kept(groups)
    for group in shrunk:
        count = int(draw.integers(1, group.channels))
        kept[group.id] = tuple(sorted(draw.choice(group.channels, count, replace=False).tolist()))
    return kept


def images_for(network: Network, draw: np.random.Generator) -> NDArray[np.float64]:
    return draw.standard_normal((2, *network.graph.input_shape))


def check_against_unread(network: Network, groups: tuple[ChannelGroup, ...], kept: Kept, pruned: Network) -> bool:
    """Also says whether the scores changed at all: channels that are dead on these images prove nothing."""
    images = images_for(network, np.random.default_rng(7))
    expected = compute(unread(network, groups, kept), images)
    np.testing.assert_allclose(compute(pruned, images), expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())
    return not np.allclose(expected, compute(network, images), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_each_group_pruned_alone_equals_the_network_in_which_nothing_reads_its_channels(name: str) -> None:
    network, groups = family(name)
    draw = np.random.default_rng(11)
    telling = []
    for group in (group for group in groups if group.prunable):
        kept = random_kept(groups, [group], draw)
        pruned = prune(network.graph, groups, network, all_kept(groups), kept)
        telling.append(check_against_unread(network, groups, kept, pruned))
    assert sum(telling) >= 0.9 * len(telling)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("seed", range(3))
def test_all_groups_pruned_together_equal_the_network_in_which_nothing_reads_their_channels(
    name: str, seed: int
) -> None:
    network, groups = family(name)
    kept = random_kept(groups, [group for group in groups if group.prunable], np.random.default_rng(seed))
    pruned = prune(network.graph, groups, network, all_kept(groups), kept)
    assert check_against_unread(network, groups, kept, pruned)
    counts = {group_id: len(channels) for group_id, channels in kept.items()}
    assert pruned_shapes(network.graph, groups, counts) == {n: t.shape for n, t in pruned.weights.items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_pruning_step_by_step_gives_the_same_bytes_as_pruning_at_once(name: str) -> None:
    network, groups = family(name)
    draw = np.random.default_rng(5)
    current, kept = network, all_kept(groups)
    for group in draw.permutation([group for group in groups if group.prunable for _ in range(2)]):
        left = kept[group.id]
        stays = sorted(draw.choice(left, max(1, len(left) * 2 // 3), replace=False).tolist())
        after = {**kept, group.id: tuple(stays)}
        current, kept = prune(network.graph, groups, current, kept, after), after
    at_once = prune(network.graph, groups, network, all_kept(groups), kept)
    assert at_once.graph == current.graph
    assert all(np.array_equal(at_once.weights[name], current.weights[name]) for name in network.weights)
    assert check_against_unread(network, groups, kept, current)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_layer_is_in_one_group_and_the_head_alone_stays_whole(name: str) -> None:
    network, groups = family(name)
    layers = [layer for group in groups for layer in group.layers]
    nodes = [node for node in network.graph.nodes if node.operator in ("conv2d", "linear")]
    assert sorted(layers) == sorted(node.layer for node in nodes)
    whole = [group for group in groups if not group.prunable]
    assert [group.layers for group in whole] == [(nodes[-1].layer,)]
    assert whole[0].reason == "it produces the classes, which are never pruned"


@pytest.mark.parametrize("name", FAMILIES)
def test_groups_come_in_the_order_of_their_first_layers_and_are_named_after_them(name: str) -> None:
    network, groups = family(name)
    rank = {node.layer: index for index, node in enumerate(network.graph.nodes)}
    assert [group.id for group in groups] == [group.layers[0] for group in groups]
    assert [rank[group.id] for group in groups] == sorted(rank[group.id] for group in groups)


def test_the_same_network_gives_the_same_groups_whatever_its_weights() -> None:
    network, groups = family("mobilenet-v3-small")
    zero = Network(network.graph, {name: np.zeros_like(tensor) for name, tensor in network.weights.items()})
    assert channel_groups(zero) == groups


def test_finding_groups_leaves_the_network_and_torch_as_they_were() -> None:
    network, _ = family("resnet-18-cifar")
    before = {name: tensor.tobytes() for name, tensor in network.weights.items()}
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.inference_mode():
        channel_groups(network)
        assert torch.is_inference_mode_enabled()
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert {name: tensor.tobytes() for name, tensor in network.weights.items()} == before


def kinds(name: str) -> dict[str, str]:
    return {group.id: group.kind for group in family(name)[1]}


def test_layers_joined_by_residual_sums_are_one_bottleneck() -> None:
    _, groups = family("resnet-18")
    stem = groups[0]
    assert stem.layers == ("stem.0.0", "blocks.0.second.0", "blocks.1.second.0")
    assert stem.kind == "bottleneck"
    assert kinds("resnet-18")["blocks.0.first.0"] == "expansion"


def test_an_expansion_layer_shrinks_with_its_depthwise_convolution_and_its_excitation() -> None:
    _, groups = family("mobilenet-v3-large")
    expansion = next(group for group in groups if group.id == "features.4.body.0.0")
    assert expansion.kind == "expansion"
    assert expansion.layers == ("features.4.body.0.0", "features.4.body.1.0", "features.4.body.2.excite")
    filters = {part.tensor for part in expansion.slices if part.filters}
    assert filters == {f"{layer}.weight" for layer in expansion.layers}


@pytest.mark.parametrize(
    ("name", "group", "kind"),
    [
        ("mobilenet-v3-large", "features.4.body.2.squeeze", "squeeze"),
        ("mobilenet-v3-large", "features.4.body.3.0", "bottleneck"),
        ("mobilenet-v3-large", "features.16.0", "plain"),
        ("mobilenet-v3-large", "classifier.0", "linear"),
        ("mobilenet-v2", "features.1.body.1.0", "bottleneck"),  # linear, without a residual sum
        ("mobilenet-v2", "features.5.body.0.0", "expansion"),
        ("mobilenet-v1", "features.26.0", "plain"),
        ("plain-chain", "features.3", "plain"),
        ("plain-chain", "classifier.1", "linear"),
    ],
)
def test_a_group_is_called_what_it_is(name: str, group: str, kind: str) -> None:
    assert kinds(name)[group] == kind


def test_a_channel_owns_every_position_that_it_is_flattened_to() -> None:
    _, groups = family("plain-chain")
    last = next(group for group in groups if group.id == "features.6")
    columns = next(part for part in last.slices if part.axis == 1)
    assert columns.tensor == "classifier.1.weight"
    assert columns.positions[2] == tuple(range(32, 48))


@pytest.mark.parametrize("name", ODD_BY_NAME)
def test_odd_networks_are_pruned_right_or_not_at_all(name: str) -> None:
    network, by_id = odd(name)
    groups = tuple(by_id.values())
    draw = np.random.default_rng(2)
    shrunk = [group for group in groups if group.prunable]
    telling = []
    for choice in (*([group] for group in shrunk for _ in range(3)), shrunk):
        kept = random_kept(groups, choice, draw)
        pruned = prune(network.graph, groups, network, all_kept(groups), kept)
        telling.append(check_against_unread(network, groups, kept, pruned))
    assert any(telling) == bool(shrunk)


@pytest.mark.parametrize("name", ODD_BY_NAME)
def test_every_layer_that_stays_whole_has_a_sentence_saying_why(name: str) -> None:
    network, by_id = odd(name)
    layers = [layer for group in by_id.values() for layer in group.layers]
    owned = {n.weights["weight"] for n in network.graph.nodes if n.operator in ("conv2d", "linear")}
    assert len(layers) == len(set(layers)) == len(owned)
    for group in by_id.values():
        assert (group.reason is None) == group.prunable
        assert group.prunable or (len(group.reason.split()) > 4 and not group.slices)


@pytest.mark.parametrize(
    ("name", "group", "words"),
    [
        ("SumWithImages", "first", "images"),
        ("DepthwiseOnImages", "first", "images"),
        ("GroupedOverImages", "first", "grouped convolution"),
        ("SpatialAttention", "stem", "only in part"),
        ("ConvolutionHead", "head", "classes"),
        ("SumIntoHead", "head", "classes"),
    ],
)
def test_ties_that_cannot_be_pruned_are_seen(name: str, group: str, words: str) -> None:
    assert words in (odd(name)[1][group].reason or "")


@pytest.mark.parametrize(
    ("name", "group", "kind", "layers"),
    [
        ("LinearSqueeze", "narrow", "squeeze", ("narrow",)),
        ("LinearSqueeze", "stem", "plain", ("stem", "widen")),
        ("GateOfOneLayer", "stem", "plain", ("stem", "gate")),
        ("FlattenedSum", "conv", "bottleneck", ("conv", "around")),
        ("RecurrentSum", "stem", "bottleneck", ("stem", "turn")),
        ("HandWrittenSwish", "middle", "plain", ("middle",)),
        ("Perceptron", "first", "linear", ("first",)),
        ("SumIntoHead", "head", "linear", ("head", "other")),
        ("Grouped", "stem", "plain", ("stem",)),  # four positions in each of two groups
        ("Grouped", "grouped", "plain", ("grouped",)),
        ("DepthwiseMultiplier", "stem", "plain", ("stem", "multiplied")),  # a group goes with its two outputs
        ("TwoChannelsPerGroup", "stem", "plain", ("stem", "paired")),
        ("SharedLayer", "stem", "plain", ("stem", "turn")),
        ("LayerScale", "stem", "bottleneck", ("stem", "narrow")),
    ],
)
def test_odd_ties_are_understood(name: str, group: str, kind: str, layers: tuple[str, ...]) -> None:
    found = odd(name)[1][group]
    assert (found.kind, found.layers) == (kind, layers)


def with_slices(group: ChannelGroup, *slices: Slice) -> ChannelGroup:
    return replace(group, slices=slices)


def test_the_proof_finds_a_plan_that_cuts_other_columns_than_rows() -> None:
    network, by_id = odd("Perceptron")
    first = by_id["first"]
    reversed_columns = replace(first.slices[2], positions=first.slices[2].positions[::-1])
    wrong = with_slices(first, *first.slices[:2], reversed_columns)
    assert wrongly_pruned(network, (wrong, by_id["second"], by_id["head"])) == {"first"}


def test_the_proof_finds_a_plan_that_forgets_a_tensor() -> None:
    network, by_id = odd("LinearSqueeze")
    stem = by_id["stem"]
    wrong = with_slices(stem, *(part for part in stem.slices if not part.tensor.startswith("widen")))
    assert wrongly_pruned(network, (wrong, by_id["narrow"])) == {"stem"}


def test_a_softmax_at_the_end_hides_nothing_from_the_proof() -> None:
    network = uploaded(nn.Sequential(FAMILIES["resnet-18-cifar"](), nn.Softmax(1)))
    groups = channel_groups(network)
    for index in (index for index, group in enumerate(groups) if group.prunable):
        *others, last = groups[index].slices
        wrong = with_slices(groups[index], *others, replace(last, positions=last.positions[1:] + last.positions[:1]))
        assert wrongly_pruned(network, (*groups[:index], wrong, *groups[index + 1 :])) != frozenset()


def test_the_proof_finds_nothing_wrong_with_right_plans() -> None:
    network, groups = family("mobilenet-v2")
    assert wrongly_pruned(network, groups) == frozenset()


def test_a_group_that_fails_the_proof_is_not_offered_for_pruning(monkeypatch: pytest.MonkeyPatch) -> None:
    network, _ = odd("Perceptron")
    monkeypatch.setattr("adapt.groups.wrongly_pruned", lambda network, groups: frozenset({"second"}))
    failed = next(group for group in channel_groups(network) if group.id == "second")
    assert not failed.prunable
    assert "does not compute" in (failed.reason or "")


def test_a_crash_of_the_dependency_analysis_refuses_the_network_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    network, _ = odd("Perceptron")

    def crash(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("integer division by zero")

    monkeypatch.setattr("torch_pruning.DependencyGraph.build_dependency", crash)
    with pytest.raises(NetworkRefused, match="cannot be followed"):
        channel_groups(network)


def test_a_crash_at_one_layer_costs_only_its_group(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch_pruning

    network, _ = odd("Perceptron")
    find = torch_pruning.DependencyGraph.get_pruning_group

    def crash_once(graph, module, *arguments):  # type: ignore[no-untyped-def]
        if module.out_features == 12:
            raise ZeroDivisionError("integer division by zero")
        return find(graph, module, *arguments)

    monkeypatch.setattr(torch_pruning.DependencyGraph, "get_pruning_group", crash_once)
    groups = {group.id: group for group in channel_groups(network)}
    assert {name: group.prunable for name, group in groups.items()} == {"first": True, "second": False, "head": False}
    assert "cannot be followed" in (groups["second"].reason or "")


class OverTwoScales(nn.Module):
    """One head over two resolutions of one feature map, as in feature pyramids."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 6, 3, padding=1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        small = F.interpolate(self.head(F.avg_pool2d(x, 2)), scale_factor=2)
        return self.fc((torch.relu(self.head(x)) + small).mean((2, 3)))


def test_a_layer_applied_twice_to_the_same_channels_loses_each_once() -> None:
    network = uploaded(OverTwoScales(), (3, 8, 8))
    groups = channel_groups(network)
    assert [(group.id, group.prunable) for group in groups] == [("stem", True), ("head", True), ("fc", False)]
    counts = {"stem": 3, "head": 2}
    assert pruned_graph(network.graph, groups, counts).weight_shapes["head.weight"] == (2, 3, 3, 3)
    infer_shapes(pruned_graph(network.graph, groups, counts))
