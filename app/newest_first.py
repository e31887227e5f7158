"""Where a page of a newest-first listing begins. The cursors that carry it: app/paging.py."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, true
from sqlalchemy.orm import InstrumentedAttribute

from app.paging import decode_cursor, read_newest_first

Position = tuple[datetime, str]
"""The last row of the page before: its created_at and, among equals, its id."""


def behind(
    created_at: InstrumentedAttribute[datetime], row_id: InstrumentedAttribute[str], position: Position | None
) -> ColumnElement[bool]:
    """True of the rows that follow `position` when sorted by (created_at, id), both descending; of all for None."""
    if position is None:
        return true()
    at, last_id = position
    same_time: Any = and_(created_at == at, row_id < last_id)
    return or_(created_at < at, same_time)


def page_start(cursor: str | None, path: str, filters: Mapping[str, object] | None = None) -> Position | None:
    """The position in a listing's cursor; None for the first page. Raises CursorRefused."""
    return None if cursor is None else read_newest_first(decode_cursor(cursor, path, filters or {}))
