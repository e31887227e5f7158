"""A job as one HTML file that opens anywhere: no script, nothing loaded, and what a user named things is text."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.reports import figures as say
from app.reports.curve import draw, points_of
from app.reports.markup import Markup, element, table

# For whoever opens the file: even a fault of ours in escaping could load and run nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
PROPOSAL_FIELDS = (
    *("id", "iteration", "group", "further", "filters_before", "filters_after", "state", "predicted", "accuracy"),
    "delta_accuracy",
)
"""All that is read of a proposal."""
_STYLE = """
:root { color-scheme: light dark; --ink: #1a2330; --paper: #fff; --line: #d3dae3; --dot: #6b8fb8; --pick: #b4460f;
  --original: #5b3fa0; --limit: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf2; --paper: #12171e; --line: #364252; --dot: #7795ba;
  --pick: #ff9a5c; --original: #bca4ff; --limit: #ff8078; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 12px; }
.axis { fill: none; stroke: var(--ink); } .line { fill: none; stroke: var(--pick); stroke-width: 2; }
.dots { stroke: var(--dot); stroke-width: 4; stroke-linecap: round; opacity: .6; } .pick { fill: var(--pick); }
.original { fill: var(--original); } .limit { stroke: var(--limit); stroke-width: 2; stroke-dasharray: 6 4; }
.scroll { overflow-x: auto; }
"""


def report_page(
    *,
    job: Mapping[str, Any],
    model_name: str,
    iterations: Sequence[Mapping[str, Any]],
    proposals: Sequence[Mapping[str, Any]],
    checkpoints: Sequence[Mapping[str, Any]],
    written_at: str,
) -> str:
    """Of documents as the API has them; `proposals` all of them, of each PROPOSAL_FIELDS."""
    title = job["name"] or model_name
    resource = "latency_ms" if "latency_ms" in job["budget"] else next(iter(job["budget"]))
    words = "latency [ms]" if resource == "latency_ms" else say.WORDS[resource]
    body = element(
        "main",
        element("h1", title),
        _summary(job, model_name),
        element("h2", "Trade-off"),
        draw(points_of(job, proposals, checkpoints, resource), words) or element("p", "Nothing was evaluated."),
        element(
            "p",
            "All by accuracy on the hold-out. Dots are proposals at their predicted cost, those raced out left out; "
            "joined points are picks at what was measured or counted, or predicted where the target measures nothing; "
            "the large point is the original; the dashed line is the budget.",
        ),
        element("h2", "Checkpoints"),
        _wide(_checkpoints(checkpoints)),
        element("h2", "Iterations"),
        _wide(_iterations(iterations, proposals)),
        element("h2", "Settings"),
        _wide(table(("Setting", "Value"), sorted(_settings(job)))),
        element("p", f"Written {written_at} for job {job['id']}."),
    )
    head = element(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        element("title", f"{title} · NetAdapt"),
        element("style", Markup(_STYLE)),
    )
    return f"<!doctype html>\n{element('html', head, element('body', body), lang='en')}\n"


def _summary(job: Mapping[str, Any], model_name: str) -> Markup:
    error = job["error"] or {}
    rows: list[tuple[str, object]] = [
        ("State", job["state"] + (f": {error.get('detail') or error.get('title')}" if error else "")),
        ("Network", f"{model_name} ({job['model']})"),
        ("Data set", job["dataset"]),
        ("Target", job["target"]),
        ("Budget", say.budget(job["budget"], job["limits"])),
    ]
    compared = {"original": "Original", "current": "Current", "result": "Result", "uniform": "Uniformly thinned"}
    rows += [(name, _line(job[which], which)) for which, name in compared.items() if job[which]]
    rows += [(name, job[key]) for name, key in (("Started", "started_at"), ("Finished", "finished_at")) if job[key]]
    return table(("", ""), rows)


def _line(figures: Mapping[str, Any], which: str) -> str:
    images = "on the hold-out" if which == "current" else "on the test images"
    counted = f"{say.count(figures['macs'])} mult-adds, {say.count(figures['params'])} parameters"
    return f"{say.latency(figures['latency_ms'])}, {counted}, accuracy {say.percent(figures['accuracy'])} {images}"


def _settings(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """As they are sent."""
    return ((name, json.dumps(value, ensure_ascii=False)) for name, value in job["settings"].items())


def _checkpoints(checkpoints: Sequence[Mapping[str, Any]]) -> Markup:
    names = {"original": "original", "final": "result", "uniform": "uniformly thinned"}
    return table(
        (
            *("Checkpoint", "Latency", "Mult-adds", "Parameters", "Accuracy on the hold-out", "On the test images"),
            *("Filters by group", "Files (sha256)"),
        ),
        (
            (
                names.get(one["kind"], f"iteration {one['iteration']}"),
                say.latency(one["latency_ms"]),
                say.count(one["macs"]),
                say.count(one["params"]),
                *map(say.percent, _accuracies(one)),
                ", ".join(f"{group}: {count}" for group, count in one["filters"].items()),
                ", ".join(f"{file['format']} {file['sha256'][:12]}" for file in one["files"]),
            )
            for one in checkpoints
        ),
    )


def _accuracies(checkpoint: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """On the hold-out and on the test images, of which a pick has seen none."""
    if checkpoint["kind"] == "pick":
        return checkpoint["accuracy"], None
    return checkpoint["holdout_accuracy"], checkpoint["accuracy"]


def _iterations(iterations: Sequence[Mapping[str, Any]], proposals: Sequence[Mapping[str, Any]]) -> Markup:
    by_id = {one["id"]: one for one in proposals}
    counts: dict[int, int] = {}
    for one in proposals:
        counts[one["iteration"]] = counts.get(one["iteration"], 0) + 1
    return table(
        ("Iteration", "Limit", "Reached", "Proposals", "Picked", "Accuracy against the control"),
        (
            (
                one["iteration"],
                say.budget(one["constraint"], None),
                say.budget(one["after"] or {}, None) or say.UNKNOWN,
                counts.get(one["iteration"], 0),
                ", ".join(_picked(by_id[name]) for name in one["picked"] if name in by_id) or say.UNKNOWN,
                ", ".join(say.percent(by_id[name]["delta_accuracy"]) for name in one["picked"] if name in by_id),
            )
            for one in iterations
        ),
    )


def _picked(proposal: Mapping[str, Any]) -> str:
    groups = " + ".join([proposal["group"], *proposal["further"]])
    return f"{groups} from {proposal['filters_before']} to {proposal['filters_after']}"


def _wide(content: Markup) -> Markup:
    return element("div", content, class_="scroll")
