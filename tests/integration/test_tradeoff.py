"""The benchmark's methods on a network of three layers: budgets met, steps counted, interruptions survived."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from adapt.errors import Stopped
from adapt.graph.costs import costs
from benchmarks.tradeoff_baselines import BASELINES, baseline, cut_to, epoch_of, widths
from benchmarks.tradeoff_search import adapted, searched
from benchmarks.tradeoff_study import NotThere, first_within, measured, original
from tests.tradeoff_subject import WeighingDevice, subject_in


def stop_after(calls: int) -> Callable[[], bool]:
    counter = count()
    return lambda: next(counter) >= calls


def test_every_method_ends_within_the_budget_and_says_how_long_it_trained(tmp_path: Path) -> None:
    subject = subject_in(tmp_path)
    unpruned = original(subject).network
    ours = adapted(subject, "netadapt", 0.75)
    assert measured(subject, ours.network, unpruned).ratio_high <= 0.75
    for method in BASELINES:
        found = baseline(subject, method, 0.75, ours.values["total_steps"])
        assert measured(subject, found.network, unpruned).ratio_high <= 0.75
        extra = found.values["total_steps"] - ours.values["total_steps"]
        assert 0 <= extra < epoch_of(subject), "as many steps as ours, in whole epochs"
        scratch = original(subject).values["steps"] if method == "uniform-scratch" else 0
        assert found.values["steps"] == found.values["total_steps"] + scratch


def test_ours_counts_every_step_of_every_proposal_control_and_epoch(tmp_path: Path) -> None:
    subject = subject_in(tmp_path)
    picked, ours = searched(subject, "netadapt", 0.75), adapted(subject, "netadapt", 0.75)
    candidates = picked.values["proposals"] + picked.values["iteration"]  # a control each
    assert picked.values["steps"] >= 2 * candidates  # two steps each; a control may be trained twice
    assert ours.values["total_steps"] == picked.values["steps"] + 2 * epoch_of(subject)


def test_one_search_goes_on_from_budget_to_budget(tmp_path: Path) -> None:
    subject = subject_in(tmp_path)
    first, second = searched(subject, "netadapt", 0.75), searched(subject, "netadapt", 0.35)
    assert second.values["iteration"] > first.values["iteration"]
    assert second.values["steps"] > first.values["steps"]
    assert all(set(second.values["kept"][group]) <= set(first.values["kept"][group]) for group in first.values["kept"])


def test_an_interrupted_run_goes_on_and_ends_as_one_that_was_not(tmp_path: Path) -> None:
    straight = adapted(subject_in(tmp_path / "straight"), "netadapt", 0.35)
    interruptions = 0
    for patience in range(20, 4000, 45):
        try:
            again = adapted(subject_in(tmp_path / "again", stop=stop_after(patience)), "netadapt", 0.35)
            break
        except Stopped:
            interruptions += 1
    assert interruptions >= 2
    assert again.values == straight.values
    assert all(np.array_equal(again.network.weights[name], own) for name, own in straight.network.weights.items())


def test_what_is_there_is_neither_trained_nor_measured_again(tmp_path: Path) -> None:
    first = cut_to(subject_in(tmp_path), "tp-taylor", 0.75)
    device = WeighingDevice()
    again = cut_to(subject_in(tmp_path, device=device, stop=lambda: True), "tp-taylor", 0.75)
    assert again.key == first.key
    assert device.asked == 0


def test_a_width_multiplier_thins_all_groups_alike_and_in_steps_of_eight(tmp_path: Path) -> None:
    subject = subject_in(tmp_path)
    networks = list(widths(original(subject).network, subject.groups))
    sizes = [costs(network.graph).resources["params"] for network in networks]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
    filters = [[len(network.weights[f"conv{index}.weight"]) for index in range(3)] for network in networks]
    assert filters[-1] == [8, 8, 8]
    assert all(number % 8 == 0 for numbers in filters for number in numbers)


def test_the_first_network_within_a_budget_is_found_and_an_unreachable_one_said_so(tmp_path: Path) -> None:
    subject = subject_in(tmp_path)
    networks = list(widths(original(subject).network, subject.groups))
    ratios = {id(network): 1 - 0.1 * (place + 1) for place, network in enumerate(networks)}
    assert first_within(0.85, networks, lambda network: ratios[id(network)]) == 1
    with pytest.raises(NotThere, match="not within 1%"):
        first_within(0.01, networks, lambda network: ratios[id(network)])
