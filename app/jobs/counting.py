"""How many jobs are in which state, over all owners: for metrics."""

from typing import get_args

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.records import JobState
from app.tables import JobRow


def count_by_state(session: Session) -> dict[str, int]:
    """Every state, those without jobs too."""
    counts = dict.fromkeys(get_args(JobState), 0)
    for state, count in session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)):
        counts[state] = count
    return counts
