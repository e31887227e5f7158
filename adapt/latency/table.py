"""The look-up table: what each kind of operator took at each shape. Loads neither torch nor a runtime.

A table is also a file that strangers upload, so the reader checks every field and names the one at fault.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from adapt.errors import TableDoesNotCover, TableRefused
from adapt.graph.network import Graph
from adapt.latency.conditions import Conditions, conditions_from_document
from adapt.latency.fields import Fields, shown
from adapt.latency.units import OVERHEAD, find_units

SCHEMA = "netadapt-lookup-table"
VERSION = 1
MAX_ENTRIES = 50_000
MAX_CHARACTERS = 16 * 2**20

_OPERATOR = re.compile(r"[a-z0-9_.+]{1,200}")
_SHAPE = re.compile(r"[1-9][0-9]{0,8}(x[1-9][0-9]{0,8}){0,4}>[1-9][0-9]{0,8}(x[1-9][0-9]{0,8}){0,4}(/[1-9][0-9]{0,8})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z")
_FIELDS = Fields(TableRefused)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One measured point: an operator kind with all that is fused into it, at one shape.

    `operator` and `shape` are the keys of `adapt.latency.units`. `ms` is its share of the end-to-end latency, the
    median of `count` observations whose interquartile range is `spread` times the median. `measured_at` (UTC, RFC 3339)
    is when the latest of them was stored, None where nobody said.
    """

    operator: str
    shape: str
    ms: float
    count: int
    spread: float
    measured_at: str | None = None


@dataclass(frozen=True, kw_only=True)
class LookupTable:
    """All entries were taken under `conditions`; `calibration` takes a sum of fitted entries to end-to-end time."""

    entries: tuple[Entry, ...]
    calibration: float
    conditions: Conditions

    def with_entries(self, observed: Sequence[Entry]) -> "LookupTable":
        """The table with what was observed later: end-to-end shares, so the calibration is taken out of them."""
        uncalibrated = [replace(entry, ms=entry.ms / self.calibration) for entry in observed]
        return replace(self, entries=joined([*self.entries, *uncalibrated])) if observed else self

    def missing(self, graph: Graph) -> tuple[str, ...]:
        """The operator keys of `graph` that the table has no entry for, in the network's order."""
        known = {entry.operator for entry in self.entries}
        return tuple(dict.fromkeys(unit.operator for unit in find_units(graph) if unit.operator not in known))

    def require(self, graph: Graph) -> None:
        """Raises TableDoesNotCover with the keys that are missing."""
        if missing := self.missing(graph):
            raise TableDoesNotCover(missing)

    def to_document(self) -> dict[str, Any]:
        """The value that GET .../lookup-table shows and an upload is read from."""
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "conditions": self.conditions.to_json(),
            "calibration": self.calibration,
            "entries": [
                {name: value for name, value in asdict(entry).items() if value is not None} for entry in self.entries
            ],
        }

    def to_json(self) -> str:
        """Canonical text: equal tables, equal bytes."""
        return json.dumps(self.to_document(), sort_keys=True, separators=(",", ":"), allow_nan=False)


def joined(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """One entry for each operator and shape, sorted: of several the mean, weighted by observations."""
    found: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.operator, entry.shape].append(entry)
    return tuple(_mean(same) for _, same in sorted(found.items()))


def _mean(same: Sequence[Entry]) -> Entry:
    count = sum(entry.count for entry in same)
    ms = math.fsum(entry.ms * entry.count for entry in same) / count
    latest = max((entry.measured_at for entry in same if entry.measured_at is not None), default=None)
    return replace(same[0], ms=ms, count=count, spread=max(entry.spread for entry in same), measured_at=latest)


def table_from_json(text: str) -> LookupTable:
    """Raises TableRefused for whatever is not a table of this version, naming the field."""
    if len(text) > MAX_CHARACTERS:
        raise TableRefused("", f"{len(text)} characters are more than the {MAX_CHARACTERS} allowed")
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise TableRefused("", f"not JSON: {error}") from error
    return table_from_document(document)


def table_from_document(document: object) -> LookupTable:
    """The table of a parsed JSON document. Raises TableRefused, naming the field at fault."""
    fields = _FIELDS.an_object(document, "", ("schema", "version", "conditions", "calibration", "entries"))
    if fields["schema"] != SCHEMA:
        raise TableRefused("schema", f"must be {SCHEMA!r}")
    if type(fields["version"]) is not int or fields["version"] != VERSION:
        raise TableRefused("version", f"{shown(fields['version'])} is not known; this release reads version {VERSION}")
    rows = fields["entries"]
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not 1 <= len(rows) <= MAX_ENTRIES:
        raise TableRefused("entries", f"must be a list of 1 to {MAX_ENTRIES} entries")
    entries = tuple(_entry(row, f"entries[{index}]") for index, row in enumerate(rows))
    seen: set[tuple[str, str]] = set()
    for index, entry in enumerate(entries):
        if (entry.operator, entry.shape) in seen:
            raise TableRefused(f"entries[{index}]", f"{entry.operator} {entry.shape} is there already")
        seen.add((entry.operator, entry.shape))
    if all(entry.operator == OVERHEAD for entry in entries):
        raise TableRefused("entries", "must have an operator beside the overhead")
    return LookupTable(
        entries=entries,
        calibration=_FIELDS.number(fields["calibration"], "calibration", low=1e-6, high=1e6),
        conditions=conditions_from_document(fields["conditions"], "conditions", _FIELDS),
    )


def _entry(row: object, where: str) -> Entry:
    fields = _FIELDS.an_object(row, where, ("operator", "shape", "ms", "count", "spread"), ("measured_at",))
    return Entry(
        operator=_FIELDS.key(fields["operator"], f"{where}.operator", _OPERATOR),
        shape=_FIELDS.key(fields["shape"], f"{where}.shape", _SHAPE),
        ms=_FIELDS.number(fields["ms"], f"{where}.ms", low=1e-9, high=1e9),
        count=_FIELDS.whole(fields["count"], f"{where}.count"),
        spread=_FIELDS.number(fields["spread"], f"{where}.spread", low=0.0, high=1e9),
        measured_at=_date(fields.get("measured_at"), f"{where}.measured_at"),
    )


def _date(value: object, where: str) -> str | None:
    if value is None:
        return None
    text = _FIELDS.key(value, where, _DATE)
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise TableRefused(where, f"{text} is no time: {error}") from error
    return text


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")
