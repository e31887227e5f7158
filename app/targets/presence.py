"""Whether a device is there: its agent asks for work, or holds some and says that it still does."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement

from app.tables import TargetRow

SILENT_S = 6.0
"""An agent that was not heard of for so long has lost its name to whoever asks for it next."""
AWAY_S = 12.0
"""... and a job that needs it says that it waits."""


def unseen_s(last_seen_at: datetime | None, now: datetime) -> float:
    """Seconds since it was heard of; infinite for what never was. What was heard of later than now was heard of before
    the clock was put back: if it lives, it is heard of again in a moment."""
    return float("inf") if last_seen_at is None else abs((now - last_seen_at).total_seconds())


def is_present(last_seen_at: datetime | None, now: datetime) -> bool:
    return unseen_s(last_seen_at, now) <= AWAY_S


def row_is_present(now: datetime) -> ColumnElement[bool]:
    """The same of a target's row, by the database."""
    return TargetRow.last_seen_at.between(now - timedelta(seconds=AWAY_S), now + timedelta(seconds=AWAY_S))
