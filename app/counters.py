"""Counts that never fall: what monitoring takes rates of must not shrink when a job is deleted. Never commits."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.tables import CounterRow

PROPOSALS = "proposals"  # by state
JOBS = "jobs"  # by last state
JOB_SECONDS = "job-seconds"  # by last state: the sum over jobs that had begun
JOB_DURATIONS = "job-durations"  # by last state and the bucket that it fell into: "succeeded/60"
ATTEMPTS = "webhook-attempts"  # by what came of it


class Counters:
    """Count last in a transaction: the row stays locked until its end, and everybody counts in it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, name: str, label: str, amount: float = 1) -> None:
        insert = sqlite.insert if self._session.get_bind().dialect.name == "sqlite" else postgresql.insert
        first = insert(CounterRow).values(name=name, label=label, value=amount)
        again = {"value": CounterRow.value + first.excluded.value}
        self._session.execute(first.on_conflict_do_update(index_elements=["name", "label"], set_=again))

    def read(self, name: str) -> Mapping[str, float]:
        """Label -> count."""
        rows = self._session.scalars(select(CounterRow).where(CounterRow.name == name))
        return {row.label: row.value for row in rows}
