"""The figures of the trade-off follow from its points, and what was not run is told as missing."""

from pathlib import Path

import pytest

from benchmarks.tradeoff_report import Missing, Point, figure, lead, speed_up, table


def point(method: str, accuracy: float, *, seed: int = 0, budget: float = 0.5, ratio: float | None = None) -> Point:
    return Point(
        network="net", seed=seed, method=method, budget=budget, accuracy=accuracy, ratio=ratio or budget, steps=100
    )


def test_the_lead_is_paired_by_seed() -> None:
    points = [
        *(point("netadapt", accuracy, seed=seed) for seed, accuracy in enumerate((0.90, 0.80, 0.70))),
        *(point("tp-taylor", accuracy, seed=seed) for seed, accuracy in enumerate((0.88, 0.79, 0.67))),
    ]
    found = lead(points, "tp-taylor")
    assert found["mean"] == pytest.approx(0.02)
    assert found["standard_error"] == pytest.approx(0.01 / 3**0.5, abs=1e-4)
    assert found["met"] is True


def test_a_lead_within_its_error_does_not_meet_the_bar() -> None:
    points = [point("netadapt", 0.9, seed=0), point("netadapt", 0.8, seed=1)]
    points += [point("tp-taylor", 0.85, seed=0), point("tp-taylor", 0.84, seed=1)]
    assert lead(points, "tp-taylor")["met"] is False


def test_seeds_without_their_baseline_are_not_counted_and_one_pair_is_no_verdict() -> None:
    points = [point("netadapt", 0.9, seed=0), point("netadapt", 0.8, seed=1), point("tp-taylor", 0.85, seed=1)]
    found = lead(points, "tp-taylor")
    assert found["pairs"] == 1
    assert found["met"] is None


def test_the_speed_up_is_read_off_where_our_curve_reaches_the_same_accuracy() -> None:
    ours = [point("original", 0.9, budget=1), point("netadapt", 0.8, budget=0.5), point("netadapt", 0.6, budget=0.25)]
    found = speed_up([*ours, point("uniform-finetuned", 0.7, budget=0.5, ratio=0.48)])
    assert found["best"]["speed_up"] == pytest.approx(0.48 / 0.375, abs=1e-3)
    assert found["met"] is False


def test_there_is_no_speed_up_where_ours_is_never_as_accurate() -> None:
    ours = [point("original", 0.9, budget=1), point("netadapt", 0.8, budget=0.5)]
    assert speed_up([*ours, point("uniform-scratch", 0.95, budget=0.5)])["best"] is None


def test_the_table_says_what_is_missing_and_why() -> None:
    gap = Missing(network="net", seed=1, method="racing", budget=0.5, reason="not built yet")
    rows = table([point("netadapt", 0.9)], [gap]).splitlines()
    assert "| net | 50% | netadapt | 90.00% |" in rows[2]
    assert "missing" in rows[3]
    assert "not built yet" in rows[3]


def test_the_picture_of_the_same_points_has_the_same_bytes(tmp_path: Path) -> None:
    points = [point("original", 0.9, budget=1), point("netadapt", 0.8), point("tp-taylor", 0.7)]
    figure(points, tmp_path / "first.svg")
    figure(points, tmp_path / "second.svg")
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()
