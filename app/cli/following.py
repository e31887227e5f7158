"""`watch` and `submit --watch`: a progress bar on a terminal, a line per event in a pipe, JSON lines with --json."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from app.cli.output import percent, state_line, time_left

if TYPE_CHECKING:
    from app.client import Client

Show = Callable[[Mapping[str, Any]], None]


def follow(client: "Client", job: str, *, as_json: bool) -> bool:
    """Follows to the last state; true when the job succeeded. Ctrl-C leaves the job running, and says so."""
    display = _json_lines() if as_json else _bar() if sys.stderr.isatty() else _lines()
    try:
        with display as show:
            for event in client.watch(job):
                show(event)
    except KeyboardInterrupt:
        typer.echo(f"{job} goes on without us; follow it again with: netadapt watch {job}", err=True)
        raise typer.Exit(1) from None
    answer = client.jobs.get(job)
    if not as_json:
        _print_end(answer)
    if answer["state"] != "succeeded":
        error = answer.get("error") or {}
        typer.echo(f"{job} {answer['state']}: {error.get('detail') or error.get('title') or 'on request'}", err=True)
    return bool(answer["state"] == "succeeded")


def event_text(event: Mapping[str, Any]) -> str | None:
    """What one event says to a person, in a line; None for what goes without saying."""
    kind, data = event["event"], event["data"]
    if kind == "state":
        return f"state: {data.get('state')}"
    if kind == "phase":
        return f"phase: {data.get('phase')}"
    if kind == "message":
        return str(data.get("text") or data.get("message") or "") or None
    if kind == "measurement":
        return _measurement_text(data)
    if kind == "iteration":
        return _iteration_text(data)
    if kind == "proposal":
        return _proposal_text(data)
    if kind == "checkpoint":
        seen = " on the hold-out" if data.get("kind") == "pick" else ""
        return f"checkpoint {data.get('checkpoint')}: {state_line(data) or 'written'}{seen}"
    return None


def _measurement_text(data: dict[str, Any]) -> str | None:
    latency = data.get("latency")
    if isinstance(latency, dict):
        interval = f"{latency['low']:.4g} to {latency['high']:.4g}"
        return f"measured {data.get('key')}: {latency['ms']:.4g} ms ({interval})" if latency.get("measured") else None
    line = state_line(data)
    return None if line is None else f"{data.get('key')}: {line}"


def _iteration_text(data: dict[str, Any]) -> str:
    """An iteration is told twice: with its constraint when it begins, with what came of it when it is done."""
    number = data.get("iteration")
    if data.get("after") is None:
        return f"iteration {number}: {state_line(data.get('before'))}; to reach {state_line(data.get('constraint'))}"
    score = percent((data.get("holdout") or {}).get("accuracy"))
    return f"iteration {number} done: {state_line(data['after'])}" + (f", hold-out {score}" if score else "")


def _proposal_text(data: dict[str, Any]) -> str:
    where = f"iteration {data.get('iteration')}, {' + '.join([data['group'], *data.get('further', {})])}"
    if data.get("state") != "evaluated":
        return f"{where}: {data.get('state')}: {data.get('reason')}"
    return f"{where}: {data.get('filters_before')} -> {data.get('filters_after')}, {percent(data.get('accuracy'))}"


@contextmanager
def _json_lines() -> Iterator[Show]:
    yield lambda event: typer.echo(json.dumps(event, ensure_ascii=False))


@contextmanager
def _lines() -> Iterator[Show]:
    def show(event: Mapping[str, Any]) -> None:
        text = event_text(event)
        if text is not None:
            typer.echo(text)

    yield show


@contextmanager
def _bar() -> Iterator[Show]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    times = (TimeElapsedColumn(), TextColumn("{task.fields[left]}"))
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), *times)
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("queued", total=None, left="")

        def show(event: Mapping[str, Any]) -> None:
            kind, data = event["event"], event["data"]
            if kind == "progress":
                label = _bar_label(data) if data.get("iteration") else None  # until then the phase's name stays
                left = time_left(data.get("eta_seconds"))
                done = data.get("fraction") or 0.0
                progress.update(task, completed=done, total=1.0, description=label, left=left, refresh=True)
            elif kind == "phase":
                progress.update(task, description=str(data.get("phase") or "waiting"))
            elif kind != "proposal" and (text := event_text(event)) is not None:
                progress.console.print(escape(text), highlight=False)
            if kind == "state" and data.get("state") == "succeeded":
                progress.update(task, completed=1.0, total=1.0, description="done", left="")

        yield show


def _bar_label(data: dict[str, Any]) -> str:
    done, total = data.get("proposals_done"), data.get("proposals_total")
    counts = f", proposal {done} of {total}" if done is not None and total else ""
    return f"iteration {data['iteration']}{counts}"


def _print_end(job: Mapping[str, Any]) -> None:
    for title in ("original", "result", "uniform"):
        if (line := state_line(job.get(title))) is not None:
            typer.echo(f"{title}: {line}")
    if job["state"] == "succeeded":
        typer.echo(f"save it with: netadapt download {job['id']} --format onnx -o adapted.onnx")
