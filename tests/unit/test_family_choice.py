"""Which picks a family is made of: by iteration, by budget, or spread over the search."""

from types import SimpleNamespace

import pytest

from app.jobs.errors import WrongState
from app.jobs.family import choose_members, spread
from app.jobs.records import Figures, LatencyFigures
from app.jobs.schemas import FamilyIn
from app.json_body import InvalidFields


def job(**budget: object) -> SimpleNamespace:
    original = Figures(
        latency_ms=LatencyFigures(predicted=9.0, measured=10.0, low=9.9, high=10.1), macs=1000, params=80
    )
    return SimpleNamespace(id="job_a", state="succeeded", budget=budget or {"latency_ms": "50%"}, original=original)


def pick(iteration: int, ms: float, *, macs: int = 500) -> SimpleNamespace:
    latency = LatencyFigures(predicted=ms * 0.9, measured=ms, low=ms * 0.98, high=ms * 1.02)
    return SimpleNamespace(iteration=iteration, figures=Figures(latency_ms=latency, macs=macs, params=40))


def predicted(iteration: int, ms: float) -> SimpleNamespace:
    """On a table there is no clock."""
    return SimpleNamespace(iteration=iteration, figures=Figures(latency_ms=LatencyFigures(predicted=ms), macs=500))


PICKS = [pick(1, 8.0), pick(2, 6.0), pick(3, 4.0)]


def chosen(before: SimpleNamespace, picks: list[SimpleNamespace], **asked: object) -> list[tuple[int, dict]]:
    members = choose_members(before, picks, FamilyIn(**asked))  # type: ignore[arg-type]  # what it reads of them
    return [(member.iteration, member.budget) for member in members]


def test_of_a_measured_latency_the_upper_end_of_the_interval_has_to_be_within() -> None:
    assert chosen(job(), PICKS, budgets=[6.1]) == [(3, {"latency_ms": 6.1})]
    assert chosen(job(), PICKS, budgets=[6.13, "81.7%"]) == [(2, {"latency_ms": 6.13}), (1, {"latency_ms": "81.7%"})]


def test_on_a_table_the_prediction_counts() -> None:
    picks = [predicted(1, 8.0), predicted(2, 6.0)]
    assert chosen(job(), picks, budgets=[6.0]) == [(2, {"latency_ms": 6.0})]
    assert chosen(job(), picks, iterations=[1]) == [(1, {"latency_ms": 8.0})]


def test_of_several_resources_all_have_to_be_within_and_a_bare_figure_is_of_none() -> None:
    picks = [pick(1, 5.0, macs=800), pick(2, 4.0, macs=600)]
    both = {"latency_ms": 6.0, "macs": 700}
    assert chosen(job(), picks, budgets=[both]) == [(2, {"latency_ms": 6.0, "macs": 700})]
    with pytest.raises(InvalidFields) as refused:
        chosen(job(latency_ms=5.0, params=60), picks, budgets=[6.0])
    assert refused.value.fields == [
        {"pointer": "/budgets/0", "detail": 'say of which resource, as {"latency_ms": ...}: job job_a has 2 budgets'}
    ]


def test_asked_for_by_iteration_the_budget_is_what_the_pick_was_found_to_be_within() -> None:
    before = job(latency_ms=5.0, params=60)
    assert chosen(before, PICKS, iterations=[3, 1]) == [
        (3, {"latency_ms": pytest.approx(4.08), "params": 40}),
        (1, {"latency_ms": pytest.approx(8.16), "params": 40}),
    ]


def test_a_budget_that_was_not_measured_or_that_no_pick_is_within_is_refused_by_its_place() -> None:
    for asked, pointer, said in (
        ([6.2, 3.0], "/budgets/1", "latency_ms 4.08 where 3 is asked: extend the job"),
        ([{"memory_bytes": 5.0}], "/budgets/0/memory_bytes", "was not measured"),
        ([10.0], "/budgets/0", "within it already"),
    ):
        with pytest.raises(InvalidFields) as refused:
            chosen(job(), PICKS, budgets=asked)
        (error,) = refused.value.fields
        assert error["pointer"] == pointer
        assert said in error["detail"]
    with pytest.raises(WrongState, match="no iteration whose pick could be trained"):
        chosen(job(), [])


def test_without_a_choice_the_picks_are_spread_over_the_search() -> None:
    assert [spread(count) for count in (1, 2, 3, 4, 12)] == [[1], [1, 2], [1, 2], [1, 2, 3], [3, 6, 9]]
    assert [iteration for iteration, _ in chosen(job(), PICKS)] == [1, 2]
