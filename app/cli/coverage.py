"""What a target's look-up table covers, in a dozen lines: for each kind of operator how often, how long, how sure."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from app.cli.output import aligned, figure, percent, print_fields

Entry = Mapping[str, Any]


def print_coverage(table: Mapping[str, Any]) -> None:
    """`table` is the document of GET .../lookup-table."""
    conditions = {key: value for key, value in table["conditions"].items() if key != "provider_options"}
    typer.echo("measured under")
    print_fields({f"  {key}": value for key, value in conditions.items()})
    by_operator: dict[str, list[Entry]] = defaultdict(list)
    for entry in table["entries"]:
        by_operator[entry["operator"]].append(entry)
    typer.echo(f"look-up table: {len(table['entries'])} entries of {len(by_operator)} kinds of operator")
    rows = [_row(operator, entries) for operator, entries in sorted(by_operator.items())]
    for line in aligned([["OPERATOR", "SHAPES", "SEEN", "MS", "SPREAD", "LATEST"], *rows]):
        typer.echo(line)


def _row(operator: str, entries: Sequence[Entry]) -> list[str]:
    times = [entry["ms"] for entry in entries]
    dates = [entry["measured_at"] for entry in entries if entry.get("measured_at")]
    spreads = [entry["spread"] for entry in entries if entry["count"] > 1]  # once has no spread
    least, most = figure(min(times)), figure(max(times))
    return [
        operator,
        str(len(entries)),
        str(sum(entry["count"] for entry in entries)),
        f"{least}" if least == most else f"{least} to {most}",
        str(percent(statistics.median(spreads))) if spreads else "",
        max(dates, default="no date"),
    ]
