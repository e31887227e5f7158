"""The SQL about jobs for their owners. Hands out records, never rows; never commits."""

from typing import Any

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.orm import Session

from app.database import database_now, take_turns
from app.jobs.errors import JobNotFound, TooManyJobs, WrongState
from app.jobs.holdout import ORIGINAL
from app.jobs.journal import Journal
from app.jobs.records import Job, NewJob
from app.jobs.rows import to_job
from app.newest_first import Position, behind
from app.paging import Page, cut_page, newest_first
from app.records import LAST_STATES, OPEN_STATES, Caller, JobState, new_id
from app.tables import CheckpointFileRow, CheckpointRow, EpochStateRow, JobRow, JobValueRow, MeasurementRow

Changed = tuple[Job, bool]
"""The job, and whether anything was changed (it was not there already)."""


class JobRepository:
    """Jobs of the caller; somebody else's are not there. What lies within a job: app/jobs/history.py."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._journal = Journal(session)

    def add_job(self, caller: Caller, new: NewJob, *, most_open: int | None = None) -> Job:
        """A queued job with its first `state` event. Model, data set and target are known to be the caller's.

        Raises TooManyJobs for the owner of `most_open` jobs that are not over.
        """
        if most_open is not None:
            take_turns(self._session, "jobs of", caller.id)
            if self._count_open(caller, up_to=most_open) >= most_open:
                raise TooManyJobs(most_open)
        row = JobRow(
            id=new_id("job"),
            owner=caller.id,
            name=new.name,
            state="queued",
            model_id=new.model_id,
            dataset_id=new.dataset_id,
            target_id=new.target_id,
            budget=new.budget,
            limits=new.limits,
            settings=new.settings,
            continues=new.continues,
            from_iteration=new.from_iteration,
            lane="long",
            created_at=database_now(self._session),
        )
        self._session.add(row)
        self._session.flush()
        if new.continues is not None and new.from_iteration is not None:
            self._inherit(new.continues, row.id)
        return self._journal.tell_state(row.id)

    def find_job(self, caller: Caller, job_id: str) -> Job | None:
        row = self._session.scalar(_own(caller, job_id))
        return None if row is None else to_job(row)

    def get_job(self, caller: Caller, job_id: str) -> Job:
        """Raises JobNotFound, also for a job that is somebody else's."""
        if (job := self.find_job(caller, job_id)) is None:
            raise JobNotFound(job_id)
        return job

    def list_jobs(
        self,
        caller: Caller,
        *,
        limit: int,
        state: JobState | None = None,
        model_id: str | None = None,
        family_of: str | None = None,
        after: Position | None = None,
    ) -> Page[Job]:
        """Newest first; `after` is the position of the last one seen."""
        wanted = [JobRow.owner == caller.id, behind(JobRow.created_at, JobRow.id, after)]
        if state is not None:
            wanted.append(JobRow.state == state)
        if model_id is not None:
            wanted.append(JobRow.model_id == model_id)
        if family_of is not None:
            wanted += [JobRow.continues == family_of, JobRow.from_iteration.is_not(None)]
        newest = select(JobRow).where(*wanted).order_by(JobRow.created_at.desc(), JobRow.id.desc()).limit(limit + 1)
        jobs = [to_job(row) for row in self._session.scalars(newest)]
        return cut_page(jobs, limit, lambda job: newest_first(job.created_at, job.id))

    def delete_job(self, caller: Caller, job_id: str) -> set[str]:
        """With everything that belongs to it; one that is not over yet is cancelled first, and that is told. The hashes
        of its files, which nothing may need any more.

        Raises JobNotFound; WrongState while it runs or another needs it.
        """
        job = self._lock(caller, job_id)
        if job.state == "running":
            raise WrongState(job_id, job.state, "deleted", "cancel it first")
        needed_by = self._session.scalar(
            select(JobRow.id).where(JobRow.continues == job_id, JobRow.state.not_in(LAST_STATES)).limit(1)
        )
        if needed_by is not None:
            raise WrongState(job_id, job.state, "deleted", f"job {needed_by} starts from one of its iterations")
        if job.state not in LAST_STATES:
            self._enter(job_id, "cancelled", finished_at=database_now(self._session))
        files = self._files_of(job_id)
        self._session.execute(update(JobRow).where(JobRow.continues == job_id).values(continues=None))
        self._session.execute(delete(JobRow).where(JobRow.id == job_id))
        return files

    def cancel_job(self, caller: Caller, job_id: str) -> Changed:
        """At once unless a worker has it, which is then asked to. Raises JobNotFound, WrongState."""
        job = self._lock(caller, job_id)
        if job.state == "cancelled":
            return job, False
        if job.state in LAST_STATES:
            raise WrongState(job_id, job.state, "cancelled", "it is over")
        if job.state == "running":
            return self._write(job_id, requested="cancel"), True
        return self._enter(job_id, "cancelled", finished_at=database_now(self._session)), True

    def pause_job(self, caller: Caller, job_id: str) -> Changed:
        """At once unless a worker has it, which is then asked to. Raises JobNotFound, WrongState."""
        job = self._lock(caller, job_id)
        if job.state == "paused":
            return job, False
        if job.state in LAST_STATES:
            raise WrongState(job_id, job.state, "paused", "it is over")
        if job.requested == "cancel":
            raise WrongState(job_id, job.state, "paused", "it is being cancelled")
        if job.state == "running":
            return self._write(job_id, requested="pause"), True
        return self._enter(job_id, "paused"), True

    def resume_job(self, caller: Caller, job_id: str) -> Changed:
        """Queued again; a pause that was asked for and not done yet is taken back. Raises JobNotFound, WrongState."""
        job = self._lock(caller, job_id)
        if job.state in LAST_STATES:
            raise WrongState(job_id, job.state, "resumed", "it is over; extend it to go on from its last iteration")
        if job.requested == "cancel":
            raise WrongState(job_id, job.state, "resumed", "it is being cancelled")
        if job.requested == "pause":
            return self._write(job_id, requested=None), True
        if job.state == "paused":
            return self._enter(job_id, "queued"), True
        return job, False

    def _inherit(self, job_id: str, member_id: str) -> None:
        """What a search knows of its original, so that the figures of its family are all on one scale: a measured
        latency is a multiple of the original's, and that is noise."""
        now = database_now(self._session)
        scores = self._session.get(JobValueRow, (job_id, ORIGINAL))
        if scores is not None:
            self._session.add(JobValueRow(job_id=member_id, key=ORIGINAL, value=scores.value, created_at=now))
        measured = self._session.get(MeasurementRow, (job_id, "0"))
        if measured is not None:
            self._session.add(MeasurementRow(job_id=member_id, key="0", latency=measured.latency, created_at=now))

    def _count_open(self, caller: Caller, *, up_to: int) -> int:
        unfinished = select(JobRow.id).where(JobRow.owner == caller.id, JobRow.state.in_(OPEN_STATES)).limit(up_to)
        return self._session.scalar(select(func.count()).select_from(unfinished.subquery())) or 0

    def _files_of(self, job_id: str) -> set[str]:
        checkpoints = select(CheckpointRow.id).where(CheckpointRow.job_id == job_id)
        named = (
            select(CheckpointFileRow.sha256).where(CheckpointFileRow.checkpoint_id.in_(checkpoints)),
            select(EpochStateRow.sha256).where(EpochStateRow.job_id == job_id),
            select(JobValueRow.value["sha256"].as_string()).where(JobValueRow.job_id == job_id),
        )
        found = {sha256 for files in named for sha256 in self._session.scalars(files)}
        return {sha256 for sha256 in found if sha256 is not None}

    def _lock(self, caller: Caller, job_id: str) -> Job:
        """The job, its row locked until the end of the transaction. Raises JobNotFound."""
        row = self._session.scalar(_own(caller, job_id).with_for_update())
        if row is None:
            raise JobNotFound(job_id)
        return to_job(row)

    def _write(self, job_id: str, **values: Any) -> Job:
        self._session.execute(update(JobRow).where(JobRow.id == job_id).values(values))
        return self._journal.tell_state(job_id)

    def _enter(self, job_id: str, state: JobState, **values: Any) -> Job:
        return self._write(job_id, state=state, phase=None, requested=None, **values)


def _own(caller: Caller, job_id: str) -> Select[JobRow]:
    mine = select(JobRow).where(JobRow.id == job_id, JobRow.owner == caller.id)
    return mine.execution_options(populate_existing=True)
