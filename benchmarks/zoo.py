"""The zoo against its papers: mult-adds and parameters counted from each graph, beside what the paper prints.

`make bench NAME=zoo` prints the table of docs/zoo.md; the last line is one JSON object. Ends with 1 when a row is over
the bar.
"""

import json
import platform
import sys
from collections.abc import Iterable, Sequence

from adapt.graph.costs import costs
from adapt.zoo.architecture import Architecture
from adapt.zoo.catalogue import ARCHITECTURES

BAR = 0.03
"""Of the printed figure, after allowing half a unit of its last digit."""

Row = dict[str, object]
_TITLES = ("name", "mult-adds, M", "paper", "off", "parameters, M", "paper", "off")


def main() -> None:
    rows = counted_rows()
    print("\n".join(table(rows)))
    print()
    print("\n".join(notes(rows)))
    within = all(row["within"] for row in rows)
    conditions = {"classes": 1000, "bar": BAR, "python": platform.python_version()}
    print(json.dumps({"bench": "zoo", "within": within, "conditions": conditions, "rows": rows}))
    sys.exit(0 if within else 1)


def counted_rows() -> list[Row]:
    return [_row(architecture) for architecture in ARCHITECTURES.values()]


def table(rows: Iterable[Row]) -> list[str]:
    """Lines of a Markdown table. A figure that we count apart is marked."""
    return [_line(_TITLES), _line(["---", *["---:"] * (len(_TITLES) - 1)]), *(_line(_cells(row)) for row in rows)]


def notes(rows: Iterable[Row]) -> list[str]:
    """What is to be said about a row, as a Markdown list."""
    return [f"- `{row['name']}`: {row['note']}." for row in rows if row["note"]]


def _row(architecture: Architecture) -> Row:
    counted, published = costs(architecture.graph()), architecture.published
    if published is None:
        raise LookupError(f"{architecture.name} has no printed figures")
    row: Row = {"name": architecture.name, "input_shape": architecture.image_shape, "within": True}
    for name, count, figure in (
        ("macs", counted.macs / 1e6, published.macs),
        ("params", counted.params / 1e6, published.params),
    ):
        off = None if figure is None else figure.error_of(count)
        row |= {name: round(count, 3), f"paper_{name}": None if figure is None else figure.value, f"{name}_off": off}
        if off is not None and off > BAR and name not in published.counted_apart:
            row["within"] = False
    return {**row, "counted_apart": sorted(published.counted_apart), "note": published.why}


def _cells(row: Row) -> list[str]:
    cells = [f"`{row['name']}`"]
    for name in ("macs", "params"):
        off, printed, apart = row[f"{name}_off"], row[f"paper_{name}"], name in str(row["counted_apart"])
        cells += [
            f"{row[name]:.2f}",
            "-" if printed is None else f"{printed:g}",
            "-" if off is None else f"{off:.1%}{' (apart)' if apart else ''}",
        ]
    return cells


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
