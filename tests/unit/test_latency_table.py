"""A look-up table is a file that strangers upload: what we wrote is read back, anything else is refused by field."""

import json
from typing import Any

import pytest

from adapt.errors import TableDoesNotCover, TableRefused
from adapt.latency.table import Entry, LookupTable, table_from_document, table_from_json
from tests.latency import CONDITIONS, residual_graph

TABLE = LookupTable(
    entries=(
        Entry(operator="conv1x1s1+relu6", shape="16x8x8>96x8x8/16", ms=0.25, count=3, spread=0.02),
        Entry(operator="linear", shape="16>10/16", ms=1e-6, count=1, spread=0.0),
        Entry(operator="overhead", shape="1>1", ms=0.01, count=1, spread=0.0),
    ),
    calibration=1.02,
    conditions=CONDITIONS,
)


def changed(path: str, value: Any) -> str:
    """TABLE's JSON with the field at `path` ("entries.0.ms") replaced, or removed when `value` is ..."""
    document: Any = TABLE.to_document()
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = document
    for part in parents:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(document)


def test_what_was_written_is_read_back() -> None:
    assert table_from_json(TABLE.to_json()) == TABLE
    assert table_from_document(TABLE.to_document()) == TABLE
    assert table_from_json(TABLE.to_json()).to_json() == TABLE.to_json()


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("schema", "another", "schema"),
        ("version", 2, "version"),
        ("version", True, "version"),
        ("version", "1", "version"),
        ("calibration", 0, "calibration"),
        ("calibration", None, "calibration"),
        ("conditions", [], "conditions"),
        ("conditions.threads", 0, "conditions.threads"),
        ("conditions.threads", True, "conditions.threads"),
        ("conditions.cpu", 3, "conditions.cpu"),
        ("conditions.cpu", "x" * 201, "conditions.cpu"),
        ("conditions.cpu", "a\nb", "conditions.cpu"),
        ("conditions.cpu", "a\u202eb", "conditions.cpu"),
        ("conditions.batch", ..., "conditions.batch"),
        ("conditions.surprise", 1, "conditions.surprise"),
        ("entries", [], "entries"),
        ("entries", {}, "entries"),
        ("entries", "text", "entries"),
        ("entries.1", None, "entries[1]"),
        ("entries.1.ms", -1.0, "entries[1].ms"),
        ("entries.1.ms", 0, "entries[1].ms"),
        ("entries.1.ms", "1", "entries[1].ms"),
        ("entries.1.ms", True, "entries[1].ms"),
        ("entries.1.ms", 10**400, "entries[1].ms"),
        ("entries.1.ms", 1e300, "entries[1].ms"),
        ("entries.1.ms", ..., "entries[1].ms"),
        ("entries.1.count", 0, "entries[1].count"),
        ("entries.1.count", 1.5, "entries[1].count"),
        ("entries.1.spread", -0.1, "entries[1].spread"),
        ("entries.1.operator", "", "entries[1].operator"),
        ("entries.1.operator", "<script>", "entries[1].operator"),
        ("entries.1.operator", 7, "entries[1].operator"),
        ("entries.1.shape", "16x8x8", "entries[1].shape"),
        ("entries.1.shape", "0x8x8>1x8x8", "entries[1].shape"),
        ("entries.1.shape", "16>10/16\n", "entries[1].shape"),
        ("entries.1.shape", "9999999999>1", "entries[1].shape"),
        ("entries.1.surprise", 1, "entries[1].surprise"),
        ("surprise", 1, "surprise"),
        ("entries", ..., "entries"),
    ],
)
def test_a_wrong_field_is_refused_by_name(path: str, value: Any, field: str) -> None:
    with pytest.raises(TableRefused) as refusal:
        table_from_json(changed(path, value))
    assert refusal.value.where == field
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "3",
        "{",
        '{"schema": NaN}',
        '{"a": Infinity}',
        "[" * 100_000,
        '{"version": ' + "9" * 5000 + "}",
    ],
    ids=["empty", "null", "list", "number", "truncated", "nan", "infinity", "deep", "long number"],
)
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(TableRefused):
        table_from_json(text)


def test_an_entry_stated_twice_is_refused() -> None:
    document = TABLE.to_document()
    document["entries"].append(document["entries"][0])
    with pytest.raises(TableRefused, match=r"entries\[3\].*there already"):
        table_from_document(document)


def test_too_many_entries_are_refused() -> None:
    document = TABLE.to_document()
    document["entries"] = document["entries"] * 20_000
    with pytest.raises(TableRefused, match="1 to 50000"):
        table_from_document(document)


def test_missing_operators_are_named_once_in_the_networks_order() -> None:
    missing = ("imageconv3x3s2+relu6", "dwconv3x3s1+relu6", "conv1x1s1+add", "mean")
    assert TABLE.missing(residual_graph()) == missing
    with pytest.raises(TableDoesNotCover) as refusal:
        TABLE.require(residual_graph())
    assert refusal.value.missing == missing
