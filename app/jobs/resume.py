"""Everything of a job's record that whoever goes on with it needs."""

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload

from app.jobs.records import Checkpoint, Job, JobProgressRecord
from app.jobs.rows import to_checkpoint, to_epoch_state, to_iteration, to_job, to_proposal
from app.tables import (
    CheckpointRow,
    EpochStateRow,
    EventRow,
    IterationRow,
    JobRow,
    JobValueRow,
    MeasurementRow,
    ProposalRow,
)

MOST_ITERATIONS = 2**31 - 1


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
        checkpoint=_checkpoint(session, job_id, str(finished[-1].iteration) if finished else "0"),
        final=_checkpoint(session, job_id, "final"),
        open_iteration=opened,
        proposals=tuple(to_proposal(row) for row in proposals),
        measurements={row.key: row.latency for row in measurements},
        values={row.key: row.value for row in values},
        epoch_state=None if epoch is None else to_epoch_state(epoch),
        messages=frozenset(message["text"] for message in messages),
        raced_out=tuple(to_proposal(row) for row in raced_out),
    )


def _checkpoint(session: Session, job_id: str, checkpoint: str) -> Checkpoint | None:
    row = session.scalar(
        select(CheckpointRow)
        .where(CheckpointRow.job_id == job_id, CheckpointRow.checkpoint == checkpoint)
        .options(selectinload(CheckpointRow.files))
    )
    return None if row is None else to_checkpoint(row)


def count_steps_before(session: Session, job: Job) -> int:
    """Short-term training steps of the picks on the way to the network that `job` began with, in the jobs that it
    continues one after the other; as far as they are still there."""
    steps = 0
    while job.continues is not None:
        before = to_job(session.get_one(JobRow, job.continues))
        picked = select(func.count()).where(
            IterationRow.job_id == before.id,
            IterationRow.finished_at.is_not(None),
            IterationRow.iteration <= (job.from_iteration or MOST_ITERATIONS),
        )
        steps += (session.scalar(picked) or 0) * int(before.settings["short_term_steps"])
        job = before
    return steps
