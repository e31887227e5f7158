"""onnxruntime on small networks of every family: each operator's time finds its owner. Nothing hangs on how long."""

from dataclasses import replace

import numpy as np
import pytest

from adapt.errors import MeasurementFailed, Stopped
from adapt.formats.onnx_writer import write_onnx
from adapt.graph.network import Network
from adapt.graph.pruning import pruned_graph
from adapt.groups import channel_groups
from adapt.latency.attribution import attribute, with_plain_names
from adapt.latency.device import InProcess
from adapt.latency.measure import evaluated
from adapt.latency.predictor import fit
from adapt.latency.profile import take_profile
from adapt.latency.reading import Plan
from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.latency.runtimes.onnxruntime import OnnxRuntime
from adapt.latency.table import table_from_json
from adapt.latency.units import find_units
from adapt.latency.variants import random_network, variant_counts
from adapt.reach import counts_of
from tests.networks import FAMILIES, MobileNetV2, uploaded

BRIEF = Plan(minimum_pairs=2, minimum_s=0.0, maximum_s=0.02, patience=1.0, profile_s=0.01)


@pytest.fixture(scope="module")
def network() -> Network:
    return uploaded(FAMILIES["mobilenet-v2"]())


@pytest.mark.parametrize("family", FAMILIES)
def test_no_kernel_of_any_family_is_left_over(family: str) -> None:
    graph = with_plain_names(uploaded(FAMILIES[family]()).graph)
    units = find_units(graph)
    kernels = OnnxRuntime().profile(write_onnx(random_network(graph)), 3)
    times, unattributed = attribute(kernels, units, graph)
    assert unattributed.kernels == 0
    assert sum(time.kernels for time in times) == len(kernels) > 0
    layers = [
        time for unit, time in zip(units, times, strict=True) if "conv" in unit.operator or "linear" in unit.operator
    ]
    assert all(time.kernels >= 1 for time in layers)


def test_a_profile_covers_its_network_and_predicts_about_what_it_saw(network: Network) -> None:
    groups = channel_groups(network)
    profile = take_profile(network, groups, InProcess(OnnxRuntime()), seed=3, variants=6, reading=BRIEF)
    assert profile.variants == 6
    assert profile.smallest_ratio > 0
    original, smallest_one = profile.measured[:2]
    assert original.counts == {group.id: group.channels for group in groups}
    assert smallest_one.ms == pytest.approx(profile.smallest_ratio * profile.original_ms)
    assert all(one.low <= one.ms <= one.high and one.original_ms > 0 for one in profile.measured)
    assert profile.table.missing(network.graph) == ()
    assert table_from_json(profile.table.to_json()) == profile.table
    predicted_ms = fit(profile.table).predict_ms(network.graph)
    assert profile.original_ms / 4 < predicted_ms < profile.original_ms * 4
    smallest = {group.id: counts_of(group, multiple=8, minimum=8)[0] for group in groups}
    assert fit(profile.table).predict_ms(pruned_graph(network.graph, groups, smallest)) <= predicted_ms


def test_a_profile_that_is_out_of_time_says_how_many_variants_it_took(network: Network) -> None:
    profile = take_profile(
        network,
        channel_groups(network),
        InProcess(OnnxRuntime()),
        seed=0,
        variants=30,
        maximum_seconds=0.0,
        reading=BRIEF,
    )
    assert profile.variants == 3
    assert profile.table.missing(network.graph) == ()


def test_with_the_table_of_another_network_of_the_family_a_handful_of_variants_is_enough() -> None:
    narrow, wide = (uploaded(MobileNetV2(width, 10, stem_stride=1, last=160)) for width in (0.35, 0.4))
    device = InProcess(OnnxRuntime())
    first = take_profile(wide, channel_groups(wide), device, seed=0, variants=4, reading=BRIEF)
    often_seen = replace(first.table, entries=tuple(replace(entry, count=9) for entry in first.table.entries))
    second = take_profile(narrow, channel_groups(narrow), device, seed=0, prior=often_seen, reading=BRIEF)
    assert (first.with_prior, second.with_prior) == (False, True)
    assert second.variants == 6
    assert second.table.missing(narrow.graph) == ()
    assert len(second.table.entries) > len(first.table.entries)
    assert fit(second.table).predict_ms(narrow.graph) == pytest.approx(second.original_ms)


def test_a_profile_can_be_stopped(network: Network) -> None:
    with pytest.raises(Stopped):
        take_profile(network, channel_groups(network), InProcess(OnnxRuntime()), seed=0, stop=lambda: True)


def test_variants_are_multiples_of_the_rounding_and_follow_from_the_seed(network: Network) -> None:
    groups = channel_groups(network)
    drawn = list(variant_counts(groups, 8, 5, multiple=16, minimum=20))
    assert drawn == list(variant_counts(groups, 8, 5, multiple=16, minimum=20))
    assert drawn != list(variant_counts(groups, 8, 6, multiple=16, minimum=20))
    assert len(drawn) == 8
    for group in groups:
        counts = {variant[group.id] for variant in drawn}
        assert drawn[0][group.id] == group.channels
        if not group.prunable:
            assert counts == {group.channels}
        assert all(count == group.channels or (count % 16 == 0 and count >= 32) for count in counts)


def test_half_of_the_groups_keep_to_counts_that_kernels_like_where_the_rounding_is_finer(network: Network) -> None:
    groups = [group for group in channel_groups(network) if group.prunable]
    drawn = list(variant_counts(groups, 20, 5, multiple=1, minimum=8))[2:]
    liked = sum(variant[group.id] % 8 == 0 for variant in drawn for group in groups)
    assert 0.4 < liked / (len(drawn) * len(groups)) < 0.85
    assert any(variant[group.id] % 4 for variant in drawn for group in groups)


def test_the_original_against_itself_is_a_ratio_near_one(network: Network) -> None:
    onnx = write_onnx(network)
    found = evaluated(InProcess(OnnxRuntime()).read(onnx, onnx, Plan(maximum_s=0.2)))
    assert 0.2 < found.ratio < 5
    assert found.ratio_low <= found.ratio <= found.ratio_high


def test_random_weights_keep_the_output_finite(network: Network) -> None:
    random = random_network(network.graph)
    assert {name: tensor.shape for name, tensor in random.weights.items()} == dict(network.graph.weight_shapes)
    assert all(np.isfinite(tensor).all() for tensor in random.weights.values())


def test_conditions_say_what_the_figures_hold_for() -> None:
    one, two = OnnxRuntime(), OnnxRuntime(RuntimeChoice(threads=2))
    assert one.conditions.fingerprint() == OnnxRuntime().conditions.fingerprint()
    assert one.conditions.fingerprint() != two.conditions.fingerprint()
    assert (one.conditions.threads, one.conditions.batch, one.conditions.precision) == (1, 1, "float32")
    assert one.conditions.cpu
    assert one.conditions.instruction_set


def test_what_the_runtime_cannot_do_is_an_error_of_ours() -> None:
    with pytest.raises(MeasurementFailed, match="not installed"):
        OnnxRuntime(RuntimeChoice(provider="NoSuchProvider"))
    with pytest.raises(MeasurementFailed, match="refused"):
        OnnxRuntime().load(b"no network")
    with pytest.raises(ValueError, match="at least 1"):
        OnnxRuntime(RuntimeChoice(threads=0))
