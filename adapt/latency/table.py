"""The look-up table: what each kind of operator took at each shape. Loads neither torch nor a runtime.

A table is also a file that strangers upload, so the reader checks every field and names the one at fault.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapt.errors import TableDoesNotCover, TableRefused
from adapt.graph.network import Graph
from adapt.latency.conditions import Conditions
from adapt.latency.units import OVERHEAD, find_units

SCHEMA = "netadapt-lookup-table"
VERSION = 1
MAX_ENTRIES = 50_000
MAX_CHARACTERS = 16 * 2**20

_OPERATOR = re.compile(r"[a-z0-9_.+]{1,200}")
_SHAPE = re.compile(r"[1-9][0-9]{0,8}(x[1-9][0-9]{0,8}){0,4}>[1-9][0-9]{0,8}(x[1-9][0-9]{0,8}){0,4}(/[1-9][0-9]{0,8})?")
_TEXT_LIMIT = 200


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One measured point: an operator kind with all that is fused into it, at one shape.

    `operator` and `shape` are the keys of `adapt.latency.units`. `ms` is its share of the end-to-end latency, the
    median of `count` observations whose interquartile range is `spread` times the median.
    """

    operator: str
    shape: str
    ms: float
    count: int
    spread: float


@dataclass(frozen=True, kw_only=True)
class LookupTable:
    """All entries were taken under `conditions`; `calibration` takes a sum of fitted entries to end-to-end time."""

    entries: tuple[Entry, ...]
    calibration: float
    conditions: Conditions

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
                {
                    "operator": entry.operator,
                    "shape": entry.shape,
                    "ms": entry.ms,
                    "count": entry.count,
                    "spread": entry.spread,
                }
                for entry in self.entries
            ],
        }

    def to_json(self) -> str:
        """Canonical text: equal tables, equal bytes."""
        return json.dumps(self.to_document(), sort_keys=True, separators=(",", ":"), allow_nan=False)


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
    fields = _object(document, "", ("schema", "version", "conditions", "calibration", "entries"))
    if fields["schema"] != SCHEMA:
        raise TableRefused("schema", f"must be {SCHEMA!r}")
    if type(fields["version"]) is not int or fields["version"] != VERSION:
        raise TableRefused("version", f"{_shown(fields['version'])} is not known; this release reads version {VERSION}")
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
        calibration=_number(fields["calibration"], "calibration", low=1e-6, high=1e6),
        conditions=_conditions(fields["conditions"]),
    )


def _entry(row: object, where: str) -> Entry:
    fields = _object(row, where, ("operator", "shape", "ms", "count", "spread"))
    return Entry(
        operator=_key(fields["operator"], f"{where}.operator", _OPERATOR),
        shape=_key(fields["shape"], f"{where}.shape", _SHAPE),
        ms=_number(fields["ms"], f"{where}.ms", low=1e-9, high=1e9),
        count=_whole(fields["count"], f"{where}.count"),
        spread=_number(fields["spread"], f"{where}.spread", low=0.0, high=1e9),
    )


def _conditions(document: object) -> Conditions:
    texts = ("runtime", "runtime_version", "provider", "precision", "cpu", "instruction_set")
    fields = _object(document, "conditions", (*texts, "threads", "batch"))
    for name in texts:
        if not isinstance(fields[name], str) or len(fields[name]) > _TEXT_LIMIT:
            raise TableRefused(f"conditions.{name}", f"must be text of at most {_TEXT_LIMIT} characters")
    return Conditions(
        runtime=fields["runtime"],
        runtime_version=fields["runtime_version"],
        provider=fields["provider"],
        threads=_whole(fields["threads"], "conditions.threads"),
        batch=_whole(fields["batch"], "conditions.batch"),
        precision=fields["precision"],
        cpu=fields["cpu"],
        instruction_set=fields["instruction_set"],
    )


def _object(value: object, where: str, names: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TableRefused(where, "must be an object")
    prefix = f"{where}." if where else ""
    for name in names:
        if name not in value:
            raise TableRefused(f"{prefix}{name}", "is missing")
    if unknown := sorted(_shown(name) for name in value if name not in names):
        raise TableRefused(f"{prefix}{unknown[0]}", "is not a field of this schema")
    return value


def _key(value: object, where: str, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise TableRefused(where, f"{_shown(value)} is not a key of this schema, whose form is {pattern.pattern}")
    return value


def _number(value: object, where: str, *, low: float, high: float) -> float:
    # The comparison is exact for whole numbers of any size, and false for NaN.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise TableRefused(where, f"{_shown(value)} is not a number from {low:g} to {high:g}")
    return float(value)


def _whole(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**9:
        raise TableRefused(where, f"{_shown(value)} is not a whole number from 1 to 1000000000")
    return value


def _shown(value: object) -> str:
    try:
        text = str(value)
    except ValueError:  # a whole number of thousands of digits
        return "a number too long to show"
    return text if len(text) <= 60 else f"{text[:60]}..."


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")
