"""Pages of a listing and the opaque cursors between them."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

T = TypeVar("T")
MAX_PAGE = 500
MAX_PROPOSALS_PAGE = 5000  # small rows, of which one search has thousands
Position = Sequence[str | int]
"""Sort key of the last item of a page, as JSON values: where the next page goes on."""


class CursorRefused(Exception):
    """Not one of our cursors, or one of another listing."""

    def __str__(self) -> str:
        return "is no cursor of this listing with these filters; start without one"


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """Some items in order, and the position of the last one when there are more."""

    items: tuple[T, ...]
    next_position: tuple[str | int, ...] | None


def cut_page(found: Sequence[T], limit: int, position: Callable[[T], Position]) -> Page[T]:
    """A page of what a query with LIMIT `limit` + 1 found."""
    items = tuple(found[:limit])
    return Page(items=items, next_position=tuple(position(items[-1])) if len(found) > limit else None)


def newest_first(created_at: datetime, row_id: str) -> tuple[str, str]:
    """The position of a row in a listing of newest first."""
    return (created_at.isoformat(), row_id)


def read_newest_first(position: Position) -> tuple[datetime, str]:
    """Raises CursorRefused."""
    try:
        at, row_id = position
        when = datetime.fromisoformat(str(at))
    except ValueError as error:
        raise CursorRefused from error
    if when.tzinfo is None:
        raise CursorRefused
    return when, str(row_id)


def read_number(position: Position) -> int:
    """The position of a row in a listing by number. Raises CursorRefused."""
    match tuple(position):
        case (int(number),):
            return number
    raise CursorRefused


def encode_cursor(position: Position, path: str, filters: Mapping[str, object]) -> str:
    content = json.dumps([list(position), _binding(path, filters)], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, path: str, filters: Mapping[str, object]) -> Position:
    """Raises CursorRefused, also for a cursor that belongs to another path or other filters."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        document = json.loads(raw)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise CursorRefused from error
    match document:
        case [list(position), str(binding)] if binding == _binding(path, filters) and _is_position(position):
            return position
    raise CursorRefused


def listing(page: Page[Any], data: Sequence[Any], path: str, filters: Mapping[str, object]) -> dict[str, Any]:
    """The JSON object of a listing: `{"data": [...], "next_cursor": str | null}`."""
    position = page.next_position
    return {"data": list(data), "next_cursor": None if position is None else encode_cursor(position, path, filters)}


def _is_position(position: list[Any]) -> bool:
    return all(type(part) is str or (type(part) is int and abs(part) < 2**31) for part in position)


def _binding(path: str, filters: Mapping[str, object]) -> str:
    """Says which listing a cursor is of. It keeps mistakes out, not attackers: a cursor only moves within what
    the caller may see anyway."""
    canonical = json.dumps([path, {key: value for key, value in filters.items() if value is not None}], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
