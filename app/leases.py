"""Leases of work in the database: whose they are is a fence's number, how long they last the database's clock says."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, not_

from app.tables import JobRow, TaskRow

LONGEST_LEASE = timedelta(hours=2)
"""More than any setting allows: a lease that lasts longer was given before the clock was put back."""


class LeaseLost(Exception):
    """Another worker holds the job (or task) now, or it is over: nothing of this transaction may stay."""

    def __init__(self, work_id: str, fence: int) -> None:
        super().__init__(work_id, fence)
        self.work_id, self.fence = work_id, fence

    def __str__(self) -> str:
        return f"{self.work_id}: lease {self.fence} is no longer ours"


def held(row: type[JobRow] | type[TaskRow], now: datetime) -> ColumnElement[bool]:
    """What somebody works on at this moment."""
    return and_(row.state == "running", row.lease_expires_at.between(now, now + LONGEST_LEASE))


def abandoned(row: type[JobRow] | type[TaskRow], now: datetime) -> ColumnElement[bool]:
    """What somebody worked on, who did not renew the lease."""
    return and_(row.state == "running", not_(row.lease_expires_at.between(now, now + LONGEST_LEASE)))
