"""Everything of a job's record that whoever goes on with it needs."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from app.jobs.records import JobProgressRecord
from app.jobs.rows import to_checkpoint, to_epoch_state, to_iteration, to_proposal
from app.tables import CheckpointRow, EpochStateRow, EventRow, IterationRow, JobValueRow, MeasurementRow, ProposalRow


def load_progress(session: Session, job_id: str, *, through: int | None = None) -> JobProgressRecord:
    """What is recorded of `job_id`, for the worker that holds it, or holds a job that continues it; `through` an
    iteration, as if that had been the last."""
    iterations = [
        to_iteration(row)
        for row in session.scalars(
            select(IterationRow).where(IterationRow.job_id == job_id).order_by(IterationRow.iteration)
        )
    ]
    if through is not None:
        iterations = [iteration for iteration in iterations if iteration.iteration <= through]
    finished = tuple(iteration for iteration in iterations if iteration.finished_at is not None)
    opened = next((iteration for iteration in iterations if iteration.finished_at is None), None)
    at = str(finished[-1].iteration) if finished else "0"
    checkpoint = session.scalar(
        select(CheckpointRow)
        .where(CheckpointRow.job_id == job_id, CheckpointRow.checkpoint == at)
        .options(selectinload(CheckpointRow.files))
    )
    proposals: Iterable[ProposalRow] = (
        []
        if opened is None
        else session.scalars(
            select(ProposalRow)
            .where(ProposalRow.job_id == job_id, ProposalRow.iteration == opened.iteration)
            .order_by(ProposalRow.number)
        )
    )
    epoch = session.get(EpochStateRow, job_id)
    measurements = session.scalars(select(MeasurementRow).where(MeasurementRow.job_id == job_id))
    messages = session.scalars(select(EventRow.data).where(EventRow.job_id == job_id, EventRow.event == "message"))
    values = session.scalars(select(JobValueRow).where(JobValueRow.job_id == job_id))
    raced_out = session.scalars(
        select(ProposalRow)
        .where(ProposalRow.job_id == job_id, ProposalRow.state == "raced-out")
        .order_by(ProposalRow.number)
    )
    return JobProgressRecord(
        finished=finished,
        checkpoint=None if checkpoint is None else to_checkpoint(checkpoint),
        open_iteration=opened,
        proposals=tuple(to_proposal(row) for row in proposals),
        measurements={row.key: row.latency for row in measurements},
        values={row.key: row.value for row in values},
        epoch_state=None if epoch is None else to_epoch_state(epoch),
        messages=frozenset(message["text"] for message in messages),
        raced_out=tuple(to_proposal(row) for row in raced_out),
    )
