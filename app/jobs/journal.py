"""The one way in which an event of a job gets its number: taken from the job's row in the same transaction."""

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.database import database_now
from app.jobs.documents import job_document
from app.jobs.endings import tell_end
from app.jobs.errors import JobNotFound
from app.jobs.records import ClaimedJob, Job
from app.jobs.rows import to_job
from app.leases import LeaseLost
from app.records import LAST_STATES, EventKind
from app.tables import EventRow, JobRow


class Journal:
    """Numbers events without gaps. Never commits."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def hold(self, claimed: ClaimedJob, **values: Any) -> None:
        """Writes `values` on the job if the fence is still ours; locks the row. Raises LeaseLost."""
        self._write(claimed, {"fence": JobRow.fence, **values}, JobRow.fence)

    def advance(self, claimed: ClaimedJob, **values: Any) -> int:
        """The UPDATE with which a worker's write begins: checks the fence, takes the next event number.

        Every number taken must be used by `append` in the same transaction. Raises LeaseLost.
        """
        return self._write(claimed, {"event_counter": JobRow.event_counter + 1, **values}, JobRow.event_counter)

    def append(self, job_id: str, number: int, event: EventKind, data: dict[str, Any]) -> None:
        at = database_now(self._session)
        self._session.add(EventRow(job_id=job_id, number=number, event=event, data=data, at=at))
        self._session.flush()

    def tell(self, job_id: str, event: EventKind, data: dict[str, Any]) -> None:
        """Takes a number and appends, for whoever has no lease but changes the job (a user, the queue)."""
        counted = update(JobRow).where(JobRow.id == job_id).values(event_counter=JobRow.event_counter + 1)
        number = self._session.execute(counted.returning(JobRow.event_counter)).scalar_one()
        self.append(job_id, number, event, data)

    def tell_state(self, job_id: str) -> Job:
        """A `state` event with the job as it is now, which is returned. A last state is told further, too."""
        job = self.read(job_id)
        self.tell(job_id, "state", job_document(job))
        if job.state in LAST_STATES:
            tell_end(self._session, job)
        return job

    def read(self, job_id: str) -> Job:
        """The job as this transaction sees it, whoever owns it. Raises JobNotFound."""
        row = self._session.scalar(select(JobRow).where(JobRow.id == job_id).execution_options(populate_existing=True))
        if row is None:
            raise JobNotFound(job_id)
        return to_job(row)

    def _write(self, claimed: ClaimedJob, values: dict[str, Any], returning: InstrumentedAttribute[int]) -> int:
        own = update(JobRow).where(JobRow.id == claimed.id, JobRow.fence == claimed.fence, JobRow.state == "running")
        written: int | None = self._session.scalar(own.values(values).returning(returning))
        if written is None:
            raise LeaseLost(claimed.id, claimed.fence)
        return written
