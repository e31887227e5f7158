"""The report of a job: one file without a script, where what a user wrote is text."""

from typing import Any

import pytest

from app.reports.curve import Points, draw, points_of
from app.reports.markup import Markup, element
from app.reports.page import report_page

HOSTILE = '<script>alert("1")</script>&'


def figures(ms: float | None, accuracy: float | None) -> dict[str, Any]:
    latency = {"predicted": 9.0, "measured": ms, "low": None, "high": None}
    counted = {"macs": 1_000_000, "params": 2000, "memory_bytes": 5000}
    return {"latency_ms": latency, **counted, "accuracy": accuracy, "holdout_accuracy": 0.875}


JOB = {
    "id": "job_1",
    "name": HOSTILE,
    "model": "mdl_1",
    "dataset": "digits",
    "target": "local",
    "state": "failed",
    "error": {"detail": HOSTILE},
    "budget": {"latency_ms": "60%"},
    "limits": {"latency_ms": 6.0},
    "original": figures(10.0, 0.9),
    "current": None,
    "result": None,
    "uniform": None,
    "settings": {"include": [HOSTILE]},
    "started_at": None,
    "finished_at": None,
}
PROPOSAL = {
    "id": "prp_1",
    "iteration": 1,
    "group": HOSTILE,
    "further": {},
    "filters_before": 8,
    "filters_after": 6,
    "state": "evaluated",
    "predicted": {"latency_ms": 9.1},
    "accuracy": 0.85,
    "delta_accuracy": -0.01,
}
ITERATION = {"iteration": 1, "constraint": {"latency_ms": 9.5}, "after": {"latency_ms": 9.2}, "picked": ["prp_1"]}
CHECKPOINT = {**figures(9.2, 0.85), "kind": "pick", "iteration": 1, "filters": {HOSTILE: 6}, "files": []}


def page(**changed: Any) -> str:
    parts: dict[str, Any] = {
        "job": JOB,
        "model_name": HOSTILE,
        "iterations": [ITERATION],
        "proposals": [PROPOSAL],
        "checkpoints": [CHECKPOINT],
        "written_at": "2026-01-01T00:00:00Z",
    }
    return report_page(**parts | changed)


def test_what_the_result_is_compared_with_stands_beside_it() -> None:
    made = page(job={**JOB, "uniform": figures(9.3, 0.8)}, checkpoints=[CHECKPOINT | {"kind": "uniform"}])
    assert made.count("niformly thinned") == 2
    assert "9.3 ms" in made


def test_what_a_user_wrote_is_text_wherever_it_stands() -> None:
    made = page()
    assert "<script" not in made
    assert made.count("&lt;script&gt;alert(") == made.count("&lt;/script&gt;&amp;") == 7


def test_accuracies_on_the_holdout_and_on_the_test_images_are_told_apart() -> None:
    result = CHECKPOINT | {"kind": "final", "accuracy": 0.86}
    made = page(job=JOB | {"current": figures(9.2, 0.85)}, checkpoints=[CHECKPOINT, result])
    assert "accuracy 90.0 % on the test images" in made
    assert "accuracy 85.0 % on the hold-out" in made
    assert "<td>85.0 %</td><td>–</td>" in made
    assert "<td>87.5 %</td><td>86.0 %</td>" in made
    drawn = points_of(JOB, [], [CHECKPOINT], "latency_ms")
    assert (drawn.original, drawn.picks) == ((10.0, 87.5), [(9.2, 85.0)])


def test_settings_stand_as_they_are_sent() -> None:
    made = page(job=JOB | {"settings": {"distill": False, "race": {"picks": 3}}})
    assert "<td>false</td>" in made
    assert "<td>{&quot;picks&quot;: 3}</td>" in made


def test_it_loads_nothing() -> None:
    made = page()
    assert "default-src 'none'" in made
    assert "http://" not in made.replace("http-equiv", "")
    assert "src=" not in made


def test_a_pick_is_told_as_measured_and_what_is_only_predicted_as_such() -> None:
    assert "9.2 ms" in page()
    assert "9 ms (predicted)" in page(checkpoints=[{**CHECKPOINT, **figures(None, 0.85)}])


@pytest.mark.parametrize("state", ["queued", "failed"])
def test_a_job_that_found_nothing_has_a_report_too(state: str) -> None:
    bare = {**JOB, "state": state, "error": None, "original": None, "limits": None}
    made = page(job=bare, iterations=[], proposals=[], checkpoints=[])
    assert "Nothing was evaluated." in made


def test_the_curve_is_by_the_hold_out_and_leaves_out_who_did_not_train_to_the_end() -> None:
    original = figures(10.0, 0.9) | {"holdout_accuracy": 0.95}
    job = {**JOB, "original": original}
    found = points_of(job, [PROPOSAL, {**PROPOSAL, "state": "raced-out", "accuracy": 0.1}], [CHECKPOINT], "latency_ms")
    assert found == Points(proposals=[(9.1, 85.0)], picks=[(9.2, 85.0)], original=(10.0, 95.0), limit=6.0)
    assert "95.0 %" in page(checkpoints=[original | {"kind": "original", "iteration": 0, "filters": {}, "files": []}])


def test_where_a_target_measures_nothing_the_curve_is_of_what_was_predicted() -> None:
    found = points_of(JOB, [], [{**CHECKPOINT, **figures(None, 0.85)}], "latency_ms")
    assert found.picks == [(9.0, 85.0)]


def test_the_curve_has_every_dot_and_stays_small() -> None:
    many = [(5 + number / 5000, 80 + number % 10) for number in range(20_000)]
    drawn = draw(Points(proposals=many, picks=[(9.0, 90.0)], original=(10.0, 91.0), limit=6.0), "latency [ms]")
    assert drawn is not None
    assert drawn.count("h0") == 20_000
    assert len(drawn) < 400_000


def test_one_point_alone_is_drawn_and_without_any_nothing_is() -> None:
    alone = draw(Points(proposals=[(5.0, 80.0)], picks=[], original=None, limit=None), "x")
    assert alone is not None
    assert "nan" not in alone
    assert draw(Points(proposals=[], picks=[], original=None, limit=6.0), "x") is None


def test_an_element_escapes_what_is_no_markup_and_leaves_out_what_is_not_there() -> None:
    assert (
        element("a", "1 < 2", Markup("<b>x</b>"), None, href='"', title=None) == '<a href="&quot;">1 &lt; 2<b>x</b></a>'
    )
