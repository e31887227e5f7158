"""How answers are printed: JSON for programs, columns for people, in a pipe a line for each item."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import typer

from app.cli.terminal import UNKNOWN, print_table

Json = Mapping[str, Any]
Columns = Mapping[str, Callable[[Json], object]]


def print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_listing(items: Iterable[Json], columns: Columns, *, as_json: bool, empty: str) -> None:
    """`--json`: one array. Otherwise a header and a line for each item, or `empty`."""
    if as_json:
        print_json(list(items))
        return
    rows = [[_text(value(item)) for value in columns.values()] for item in items]
    if not rows:
        typer.echo(empty)
        return
    if sys.stdout.isatty():
        print_table(list(columns), rows)
        return
    for line in aligned([[title.upper() for title in columns], *rows]):
        typer.echo(line)


def print_outcome(sentence: str, document: Json, *, as_json: bool) -> None:
    """Of a command whose answer has no document of the service's."""
    if as_json:
        print_json(document)
    else:
        typer.echo(sentence)


def print_deleted(name: str, *, as_json: bool) -> None:
    print_outcome(f"{name} deleted", {"id": name, "deleted": True}, as_json=as_json)


def print_fields(fields: Mapping[str, object]) -> None:
    """`key  value` lines; what is unknown is left out."""
    for line in aligned([[key, _text(value)] for key, value in fields.items() if value is not None]):
        typer.echo(line)


def print_note(text: str) -> None:
    """A sentence of the service's."""
    typer.echo(f"- {_text(text)}")


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def figure(value: float | None, unit: str = "") -> str | None:
    """A number as people read it: 8.04, 2.27 M, 569 k."""
    if value is None:
        return None
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == ' k' else size):.3g}{letter}{unit}"
    return f"{value:.4g}{' ' + unit if unit else ''}"


def percent(fraction: float | None) -> str | None:
    return None if fraction is None else f"{fraction * 100:.2f} %"


def latency_of(state: Json | None) -> str | None:
    """A state's latency with its kind: measured when it was, and otherwise said to be a prediction.

    An iteration's figures hold one number, the one that its decisions rested on.
    """
    latency = (state or {}).get("latency_ms") or {}
    if not isinstance(latency, Mapping):
        return f"{latency:.4g} ms"
    if latency.get("measured") is not None:
        return f"{latency['measured']:.4g} ms"
    if latency.get("predicted") is not None:
        return f"{latency['predicted']:.4g} ms (predicted)"
    return None


def duration(seconds: float | None) -> str | None:
    """As one says it of something that is known roughly: "about 40 minutes"."""
    if seconds is None:
        return None
    for unit, size in (("day", 86_400.0), ("hour", 3_600.0), ("minute", 60.0)):
        if seconds >= 1.5 * size:
            return f"about {round(seconds / size)} {unit}s"
    count = max(1, round(seconds))
    return f"about {count} second{'s' if count > 1 else ''}"


def time_left(seconds: float | None) -> str:
    """Empty where nothing is known of it."""
    words = duration(seconds)
    return f"{words} left" if words and seconds else ""


def accuracy_of(job: Json) -> str | None:
    """Of a result on the test images; what a search still works on has seen the hold-out alone, and that is said."""
    if job.get("result"):
        return percent(job["result"].get("accuracy"))
    found = percent((job.get("current") or {}).get("accuracy"))
    return found and f"{found} on the hold-out"


def state_line(state: Json | None) -> str | None:
    """`1.36 ms, 165 M mult-adds, 1.02 M parameters, accuracy 99.44 %`."""
    if not state:
        return None
    parts = [
        latency_of(state),
        _labelled(figure(state.get("macs")), "mult-adds"),
        _labelled(figure(state.get("params")), "parameters"),
        None if state.get("accuracy") is None else f"accuracy {percent(state['accuracy'])}",
    ]
    return ", ".join(part for part in parts if part) or None


def budget_line(budget: Json) -> str:
    """A share stays as it was typed; a number is one as people read it."""
    said = {name: value if isinstance(value, str) else figure(value) for name, value in budget.items()}
    return ", ".join(f"{resource} {value}" for resource, value in said.items())


def _labelled(text: str | None, label: str) -> str | None:
    return None if text is None else f"{text} {label}"


def _text(value: object) -> str:
    if value is None:
        return UNKNOWN
    # A label is the user's own text: control characters must not reach the terminal.
    return "".join(character if character.isprintable() else "?" for character in str(value))
