"""How far a job is, from its events alone."""

from types import SimpleNamespace

import pytest

from adapt.events import (
    BudgetResolved,
    EpochDone,
    Evaluation,
    IterationStarted,
    PhaseChanged,
    ProposalEvaluated,
    Score,
)
from adapt.spec import Settings
from workers import reporting
from workers.reporting import Reporter

SCORE = Score(accuracy=0.9, loss=0.1, images=100)


def proposal(group: str) -> ProposalEvaluated:
    outcome = Evaluation(
        group=group, accuracy_before_finetune=0.9, accuracy=0.9, loss=0.1, steps=1, attempts=1, seconds=1.0
    )
    return ProposalEvaluated(
        iteration=1,
        group=group,
        filters_before=16,
        filters_after=8,
        kept=(0,),
        predicted={"macs": 80.0},
        next_larger_filters=None,
        next_larger_predicted=None,
        evaluation=outcome,
        delta_accuracy=0.0,
        delta_latency_ms=None,
        relative_reduction=0.2,
        reward=1.0,
        slope=0.0,
    )


@pytest.fixture(name="told")
def _told(monkeypatch):
    """A reporter with a clock of its own, and what it wrote."""
    return reporter_of(monkeypatch, "pt2")


def reporter_of(monkeypatch, model_format: str, fraction: float = 0.0, before: object = None, **parts: object):
    written = []
    monkeypatch.setattr(Reporter, "_write", lambda self, progress: written.append(progress))
    seconds = iter(range(0, 1000, 10))
    material = SimpleNamespace(
        settings=parts.get("settings", Settings(final="finetune")),
        model=SimpleNamespace(format=model_format),
        job=SimpleNamespace(progress=SimpleNamespace(fraction=fraction), from_iteration=parts.get("from_iteration")),
        before=before,
        record=SimpleNamespace(raced_out=parts.get("raced_out", ())),
    )
    return Reporter(None, None, material, clock=lambda: next(seconds)), written


def test_progress_grows_with_every_proposal_and_gives_the_time_left(told):
    reporter, written = told
    reporter.tell(BudgetResolved(original={"macs": 100.0}, limits={"macs": 50.0}))
    reporter.tell(
        IterationStarted(iteration=1, before={"macs": 100.0}, constraint={"macs": 75.0}, calibrations={}, candidates=2)
    )
    reporter.tell(proposal("a"))
    reporter.tell(proposal("b"))
    fractions = [progress.fraction for progress in written]
    assert fractions == pytest.approx([0.0, 0.25 * reporting.SEARCH_ENDS, 0.5 * reporting.SEARCH_ENDS])
    assert [progress.proposals_done for progress in written] == [0, 1, 2]
    assert written[0].eta_seconds is None
    assert written[2].eta_seconds == pytest.approx(20 / fractions[2] * (1 - fractions[2]))


def test_the_long_term_fine_tune_fills_the_rest_of_the_bar(told):
    reporter, written = told
    reporter.tell(BudgetResolved(original={"macs": 100.0}, limits={"macs": 50.0}))
    for epoch in (1, 2):
        reporter.tell(EpochDone(epoch=epoch, epochs=2, holdout=SCORE, state={}))
    assert [progress.fraction for progress in written] == pytest.approx([0.95, 1.0])


def epochs(reporter: Reporter, phase: str) -> None:
    reporter.tell(PhaseChanged(phase=phase))
    for epoch in (1, 2):
        reporter.tell(EpochDone(epoch=epoch, epochs=2, holdout=SCORE, state={}))


def test_training_an_architecture_first_fills_the_bar_up_to_where_the_search_begins(monkeypatch):
    reporter, written = reporter_of(monkeypatch, "zoo")
    epochs(reporter, "training")
    begins = reporting.TRAINING_ENDS
    assert [progress.fraction for progress in written] == pytest.approx([0.0, begins / 2, begins])
    assert written[1].eta_seconds == pytest.approx(10 / (begins / 2) * (1 - begins / 2))
    reporter.tell(BudgetResolved(original={"macs": 100.0}, limits={"macs": 50.0}))
    first = IterationStarted(
        iteration=1, before={"macs": 100.0}, constraint={"macs": 75.0}, calibrations={}, candidates=1
    )
    reporter.tell(first)
    reporter.tell(proposal("a"))
    epochs(reporter, "finetuning")
    search = begins + (1 - begins) * reporting.SEARCH_ENDS
    expected = [begins, (begins + search) / 2, (search + 1) / 2, 1.0]
    assert [progress.fraction for progress in written[3:]] == pytest.approx(expected)


def test_a_job_that_continues_another_is_not_trained_again_so_the_search_has_the_whole_bar(monkeypatch):
    reporter, written = reporter_of(monkeypatch, "zoo", before=object())
    reporter.tell(BudgetResolved(original={"macs": 100.0}, limits={"macs": 50.0}))
    first = IterationStarted(
        iteration=1, before={"macs": 100.0}, constraint={"macs": 75.0}, calibrations={}, candidates=1
    )
    reporter.tell(first)
    assert written[-1].fraction == 0.0


def test_the_bar_of_a_member_of_a_family_is_its_fine_tune(monkeypatch):
    reporter, written = reporter_of(monkeypatch, "pt2", before=object(), from_iteration=3)
    reporter.tell(BudgetResolved(original={"macs": 100.0}, limits={"macs": 50.0}))
    epochs(reporter, "finetuning")
    assert [progress.fraction for progress in written] == pytest.approx([0.5, 1.0])


def test_a_resumed_training_does_not_begin_the_bar_again(monkeypatch):
    reporter, written = reporter_of(monkeypatch, "zoo", fraction=reporting.TRAINING_ENDS / 2)
    reporter.tell(PhaseChanged(phase="training"))
    assert written[-1].fraction == reporting.TRAINING_ENDS / 2


def test_a_resumed_race_counts_who_has_left_it_before(monkeypatch):
    left = [SimpleNamespace(iteration=1, group="old"), *(SimpleNamespace(iteration=2, group=group) for group in "cd")]
    reporter, written = reporter_of(monkeypatch, "pt2", raced_out=left)
    reporter.tell(
        IterationStarted(iteration=2, before={"macs": 100.0}, constraint={"macs": 75.0}, calibrations={}, candidates=4)
    )
    for group in "aab":  # what is in the record is told again
        reporter.tell(proposal(group))
    assert [progress.proposals_done for progress in written] == [2, 3, 3, 4]


def test_what_a_result_is_compared_with_has_the_second_half_of_what_the_search_leaves(monkeypatch):
    reporter, written = reporter_of(monkeypatch, "pt2", settings=Settings(final="finetune", compare="uniform"))
    reporter.tell(BudgetResolved(original={"macs": 100.0}, limits={"macs": 50.0}))
    epochs(reporter, "finetuning")
    reporter.tell(EpochDone(epoch=1, epochs=2, holdout=SCORE, state={}, of="uniform"))
    reporter.tell(EpochDone(epoch=2, epochs=2, holdout=SCORE, state={}, of="uniform"))
    assert [progress.fraction for progress in written] == pytest.approx([0.925, 0.95, 0.975, 1.0])
