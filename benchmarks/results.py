"""What a benchmark writes into docs/results/: a table, and the conditions under it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "results"


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of Markdown. The titles are the first row's keys."""
    titles = list(rows[0])
    return [
        f"| {' | '.join(titles)} |",
        f"|{' ---: |' * len(titles)}",
        *(f"| {' | '.join(_cell(row.get(title)) for title in titles)} |" for row in rows),
    ]


def write_page(name: str, about: str, rows: Sequence[Mapping[str, Any]], line: Mapping[str, Any]) -> Path:
    """docs/results/NAME.md, anew; `line` is what the benchmark prints, its `conditions` are set out."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.md"
    conditions = [f"- {key}: {_cell(value)}" for key, value in line["conditions"].items()]
    figures = {key: value for key, value in line.items() if key not in ("conditions", "bench")}
    parts = [
        f"# {name}",
        about.strip(),
        f"Written by `make bench NAME={name}`.",
        "\n".join(table(rows)),
        "\n".join(conditions),
        "```json\n" + json.dumps(figures) + "\n```",
    ]
    path.write_text("\n\n".join(parts) + "\n")
    return path


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
