"""The zoo against its papers: mult-adds and parameters counted from each graph, beside what the paper prints.

`make bench NAME=zoo` prints the table; the last line is one JSON object. Ends with 1 when a row is over the bar.
"""

import json
import platform
import sys

from adapt.graph.costs import costs
from adapt.zoo.architecture import Architecture
from adapt.zoo.catalogue import ARCHITECTURES

BAR = 0.03
"""Of the printed figure, after allowing half a unit of its last digit."""


def main() -> None:
    rows = [_row(architecture) for architecture in ARCHITECTURES.values()]
    print(f"{'name':<28}{'mult-adds M':>12}{'paper':>8}{'off':>8}{'params M':>12}{'paper':>8}{'off':>8}")
    for row in rows:
        cells = "".join(
            f"{row[name]:>12.2f}{_cell(row[f'paper_{name}']):>8}{_off(row[f'{name}_off']):>8}"
            for name in ("macs", "params")
        )
        print(f"{row['name']:<28}{cells}{'  ' + str(row['note']) if row['note'] else ''}")
    within = all(row["within"] for row in rows)
    conditions = {"classes": 1000, "bar": BAR, "python": platform.python_version()}
    print(json.dumps({"bench": "zoo", "within": within, "conditions": conditions, "rows": rows}))
    sys.exit(0 if within else 1)


def _row(architecture: Architecture) -> dict[str, object]:
    counted, published = costs(architecture.graph()), architecture.published
    if published is None:
        raise LookupError(f"{architecture.name} has no printed figures")
    row: dict[str, object] = {"name": architecture.name, "input_shape": architecture.image_shape, "within": True}
    for name, count, figure in (
        ("macs", counted.macs / 1e6, published.macs),
        ("params", counted.params / 1e6, published.params),
    ):
        off = None if figure is None else figure.error_of(count)
        row |= {name: round(count, 3), f"paper_{name}": None if figure is None else figure.value, f"{name}_off": off}
        if off is not None and off > BAR and name not in published.counted_apart:
            row["within"] = False
    return {**row, "counted_apart": sorted(published.counted_apart), "note": published.why}


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:g}"


def _off(value: object) -> str:
    return "-" if value is None else f"{value:.2%}"


if __name__ == "__main__":
    main()
