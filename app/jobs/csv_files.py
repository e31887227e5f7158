"""Listings as CSV (RFC 4180): dotted headers, all rows, nothing that a spreadsheet would run."""

import csv
import io
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from adapt.spec import RESOURCES
from app.paging import Page, read_number

T = TypeVar("T")
PAGE = 500
MEDIA_TYPE = "text/csv; charset=utf-8; header=present"
_RUN_BY_SPREADSHEETS = ("=", "+", "-", "@")
_TAKEN_OFF = "".join(map(chr, range(33))) + "\x7f\xa0\ufeff\u200b\u200e\u200f"
"""What some of them leave out at the start of a cell: control characters, blanks, what has no width."""


def _of_resources(name: str) -> list[str]:
    return [f"{name}.{resource}" for resource in RESOURCES]


PROPOSAL_COLUMNS: tuple[str, ...] = (
    *("id", "iteration", "group", "layers", "kind", "filters_before", "filters_after", "state", "reason"),
    *_of_resources("predicted"),
    "next_larger.filters",
    *_of_resources("next_larger.predicted"),
    *("kept", "further", "accuracy_before_finetune", "accuracy", "loss", "delta_accuracy", "delta_latency_ms", "slope"),
    *("picked", "steps", "attempts", "seconds", "accuracy_standard_error", "holdout_images"),
    *("rung", "behind", "behind_standard_error"),
    *(f"judged_again.{name}" for name in ("accuracy", "standard_error", "loss", "images")),
)
ITERATION_COLUMNS: tuple[str, ...] = (
    "iteration",
    *_of_resources("constraint"),
    *("control.accuracy", "control.loss", "calibration"),
    *_of_resources("before"),
    *_of_resources("after"),
    *("holdout.accuracy", "holdout.loss", "picked", "started_at", "finished_at"),
)


def csv_lines(columns: Sequence[str], documents: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The header and a line for each document. Lists are joined by blanks, an object of the user's own keys is JSON;
    what is unknown is an empty cell."""
    yield _line([_quoted(column) for column in columns])
    for document in documents:
        yield _line([_cell(_at(document, column)) for column in columns])


def all_items(first: Page[T], page_after: Callable[[int, int], Page[T]]) -> Iterator[T]:
    """Every item of a listing by number, from its first page on; `page_after` takes a number and a size."""
    page = first
    while True:
        yield from page.items
        if page.next_position is None:
            return
        page = page_after(read_number(page.next_position), PAGE)


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue()


def _at(document: dict[str, Any], column: str) -> Any:
    value: Any = document
    for part in column.split("."):
        value = None if value is None else value.get(part)
    return value


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case list() | tuple():
            return _quoted(" ".join(map(str, value)))
        case dict():  # begins with a brace, whatever its keys are
            return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value else ""
    return _quoted(str(value))


def _quoted(text: str) -> str:
    """A formula in a cell would be run by whoever opens the file: layer names are the user's own text. Full-width signs
    are formulas too where people write with them."""
    bare = unicodedata.normalize("NFKC", text.lstrip(_TAKEN_OFF)[:1])
    return "'" + text if bare.startswith(_RUN_BY_SPREADSHEETS) or text.startswith(("\t", "\r", "\n")) else text
