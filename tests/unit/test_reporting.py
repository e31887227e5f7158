"""How far a job is, from its events alone."""

from types import SimpleNamespace

import pytest

from adapt.events import (
    BudgetResolved,
    EpochDone,
    Evaluation,
    IterationStarted,
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
        slope=0.0,
    )


@pytest.fixture(name="told")
def _told(monkeypatch):
    """A reporter with a clock of its own, and what it wrote."""
    written = []
    monkeypatch.setattr(Reporter, "_write", lambda self, progress: written.append(progress))
    seconds = iter(range(0, 1000, 10))
    material = SimpleNamespace(settings=Settings(final="finetune"))
    return Reporter(None, None, material, clock=lambda: next(seconds)), written


def test_progress_grows_with_every_proposal_and_gives_the_time_left(told):
    reporter, written = told
    reporter.tell(BudgetResolved(original={"macs": 100.0}, limits={"macs": 50.0}))
    reporter.tell(
        IterationStarted(iteration=1, before={"macs": 100.0}, constraint={"macs": 75.0}, calibration=None, candidates=2)
    )
    reporter.tell(proposal("a"))
    reporter.tell(proposal("b"))
    fractions = [progress.fraction for progress in written]
    assert fractions == pytest.approx([0.0, 0.25 * reporting.SEARCH_SHARE, 0.5 * reporting.SEARCH_SHARE])
    assert [progress.proposals_done for progress in written] == [0, 1, 2]
    assert written[0].eta_seconds is None
    assert written[2].eta_seconds == pytest.approx(20 / fractions[2] * (1 - fractions[2]))


def test_the_long_term_fine_tune_fills_the_rest_of_the_bar(told):
    reporter, written = told
    reporter.tell(BudgetResolved(original={"macs": 100.0}, limits={"macs": 50.0}))
    for epoch in (1, 2):
        reporter.tell(EpochDone(epoch=epoch, epochs=2, holdout=SCORE, state={}))
    assert [progress.fraction for progress in written] == pytest.approx([0.95, 1.0])
