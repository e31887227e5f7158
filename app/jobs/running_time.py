"""How long a job has run in all, over pauses, workers and kills. Counted by whoever works on it. Never commits."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.jobs.journal import Journal
from app.jobs.records import ClaimedJob
from app.tables import JobRow


class RunningTime:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, claimed: ClaimedJob, seconds: float) -> float:
        """The job's seconds in all, with these. What a worker did after its last renewal is lost with it: at most a
        third of a lease. Raises LeaseLost."""
        Journal(self._session).hold(claimed, ran_s=JobRow.ran_s + seconds)
        return self._session.scalars(select(JobRow.ran_s).where(JobRow.id == claimed.id)).one()
