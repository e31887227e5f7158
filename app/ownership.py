"""Whose rows a caller sees."""

from sqlalchemy import ColumnElement, or_
from sqlalchemy.orm import InstrumentedAttribute

from app.records import SYSTEM_OWNER, Caller


def seen_by(caller: Caller, owner: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """True of the caller's own rows, and of those that are always there (`digits`, `local`)."""
    return or_(owner == caller.id, owner == SYSTEM_OWNER)
