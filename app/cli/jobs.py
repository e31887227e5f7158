"""The commands about jobs: submit, check, and all that can be seen of one or done to it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.arguments import budget_of, settings_of
from app.cli.completion import formats, ids_of, presets, resources, states, words
from app.cli.connection import DEFAULT_URL, AsJson, Token, Url, connected
from app.cli.output import (
    accuracy_of,
    budget_line,
    duration,
    figure,
    latency_of,
    percent,
    print_fields,
    print_json,
    print_listing,
    print_outcome,
    state_line,
    time_left,
)
from app.cli.terminal import sending, waiting

if TYPE_CHECKING:
    from app.client import Client

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A file, or the id of a network at the service.")]
Job = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.", autocompletion=words(ids_of("jobs")))]
LatencyMs = Annotated[str | None, typer.Option("--latency-ms", metavar="MS|NN%", help="Latency budget.")]
Budgets = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="RESOURCE=VALUE",
        help="latency_ms, macs, params or memory_bytes; a number or NN%. Repeatable.",
        autocompletion=words(resources),
    ),
]
Dataset = Annotated[str | None, typer.Option("--dataset", help="A file or an id; default: digits.")]
Target = Annotated[
    str | None,
    typer.Option(
        "--target", help="Where latency is measured; default: local.", autocompletion=words(ids_of("targets"))
    ),
]
Preset = Annotated[
    str | None, typer.Option("--preset", help="netadapt, mobilenetv3 or quick.", autocompletion=words(presets))
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting; JSON value, dotted key. Repeatable."),
]


def submit(
    model: Model,
    latency_ms: LatencyMs = None,
    budget: Budgets = None,
    dataset: Dataset = None,
    target: Target = None,
    preset: Preset = None,
    assignments: Assignments = None,
    name: Annotated[str | None, typer.Option(help="A label.")] = None,
    watch_it: Annotated[bool, typer.Option("--watch", help="Follow the job to its end.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Starts a job: shrinks MODEL until it is within the budget."""
    limits, settings = budget_of(latency_ms, budget or []), settings_of(preset, assignments or [])
    with sending(model, then="the service reads it") as told, connected(url, token, told) as client:
        job = client.submit(model, budget=limits, dataset=dataset, target=target, settings=settings, name=name)
    if watch_it:
        typer.echo(f"{job['id']} submitted", err=True)
        with connected(url, token) as client:
            _follow(client, job["id"], as_json=as_json)
    elif as_json:
        print_json(job)
    else:
        typer.echo(job["id"])


def check(
    model: Model,
    latency_ms: LatencyMs = None,
    budget: Budgets = None,
    dataset: Dataset = None,
    target: Target = None,
    preset: Preset = None,
    assignments: Assignments = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Is the budget reachable? Nothing is trained. Exit code 1 when it is not, or is not known."""
    limits, settings = budget_of(latency_ms, budget or []), settings_of(preset, assignments or [])
    measuring = "measuring what it takes, where that is not known yet"
    with sending(model, then=measuring) as told, connected(url, token, told) as client:
        answer = client.check(model, budget=limits, dataset=dataset, target=target, settings=settings)
    if as_json:
        print_json(answer)
    else:
        _print_feasibility(answer)
    if not answer.get("feasible"):
        raise typer.Exit(1)


def jobs(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.", autocompletion=words(states))] = None,
    model: Annotated[str | None, typer.Option(help="Only jobs of this network.")] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """All jobs, newest first."""
    columns = {
        "id": lambda job: job["id"],
        "name": lambda job: job.get("name"),
        "state": lambda job: job["state"],
        "phase": lambda job: job.get("phase"),
        "iteration": lambda job: (job.get("progress") or {}).get("iteration"),
        "budget": lambda job: budget_line(job.get("budget") or {}),
        "latency": lambda job: latency_of(job.get("result") or job.get("current")),
        "accuracy": accuracy_of,
        "created": lambda job: job.get("created_at"),
    }
    with connected(url, token) as client:
        print_listing(client.jobs.list(state=state, model=model), columns, as_json=as_json, empty="no jobs yet")


def show(job: Job, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """One job: state, progress, original and result; their accuracies are of the test images."""
    with connected(url, token) as client:
        answer = client.jobs.get(job)
    print_job(answer, as_json=as_json)


def watch(job: Job, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """Follows a job to its end; exit code 0 when it succeeds. Ctrl-C stops watching, not the job."""
    with connected(url, token) as client:
        _follow(client, job, as_json=as_json)


def proposals(
    job: Job,
    iteration: Annotated[int | None, typer.Option(min=1, help="Only this iteration's.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="All rows and columns as CSV.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Everything the search looked at; * marks what was picked."""
    if csv and (as_json or iteration is not None):
        raise typer.BadParameter("--csv goes with neither --json nor --iteration", param_hint="--csv")
    columns = {
        "iteration": lambda row: row["iteration"],
        "": lambda row: "*" if row.get("picked") else "",
        "group": lambda row: " + ".join([row["group"], *row.get("further", {})]),
        "kind": lambda row: row.get("kind"),
        "filters": lambda row: f"{row['filters_before']} -> {row['filters_after'] or '-'}",
        "state": lambda row: row["state"],
        "steps": lambda row: figure(row.get("steps")),
        "accuracy": lambda row: percent(row.get("accuracy")),
        "change": lambda row: percent(row.get("delta_accuracy")),
        "ms": lambda row: figure(row.get("delta_latency_ms")),
        "reason": lambda row: row.get("reason"),
    }
    with connected(url, token) as client:
        if csv:
            for chunk in client.proposals_csv(job):
                sys.stdout.buffer.write(chunk)
            return
        rows = client.proposals(job, iteration=iteration)
        print_listing(rows, columns, as_json=as_json, empty="no proposals yet")


def cancel(job: Job, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """Ends a job; its checkpoints stay."""
    with connected(url, token) as client:
        _print_action(client.cancel(job), as_json=as_json)


def pause(job: Job, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """Stops a job after what it is doing now; `resume` goes on from there."""
    with connected(url, token) as client:
        _print_action(client.pause(job), as_json=as_json)


def resume(job: Job, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """Puts a paused job back into the queue."""
    with connected(url, token) as client:
        _print_action(client.resume(job), as_json=as_json)


def extend(
    job: Job,
    latency_ms: LatencyMs = None,
    budget: Budgets = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Starts a new job with a tighter budget from the last iteration of this one."""
    limits = budget_of(latency_ms, budget or [])
    with connected(url, token) as client:
        answer = client.extend(job, budget=limits)
    if as_json:
        print_json(answer)
    else:
        typer.echo(answer["id"])


def download(
    job: Job,
    file: Annotated[Path, typer.Option("-o", "--output", help="Where to write it.")],
    checkpoint: Annotated[str, typer.Option(help="An iteration, 0 for the original, final, or uniform.")] = "final",
    format: Annotated[  # noqa: A002  # the option's own name
        str, typer.Option("--format", help="onnx, pt2, safetensors or onnx-int8.", autocompletion=words(formats))
    ] = "onnx",
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Saves a checkpoint; the file appears only when it is whole."""
    with connected(url, token) as client, waiting(f"fetching {file}"):
        client.download(job, file, format=format, checkpoint=checkpoint)
    size = file.stat().st_size
    saved = {"file": str(file), "bytes": size, "job": job, "checkpoint": checkpoint, "format": format}
    print_outcome(f"{file}: {size} bytes", saved, as_json=as_json)


def report(
    job: Job,
    file: Annotated[Path, typer.Option("-o", "--output", help="Where to write it.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Saves a job as one HTML file that opens anywhere; of one that still runs, as it is now."""
    from app.client.download import write_whole

    with connected(url, token) as client:
        write_whole(file, client.report(job))
    size = file.stat().st_size
    print_outcome(f"{file}: {size} bytes", {"file": str(file), "bytes": size, "job": job}, as_json=as_json)


def register(app: typer.Typer) -> None:
    for command in (submit, check, jobs, show, watch, proposals, cancel, pause, resume, extend, download, report):
        app.command()(command)


def print_job(job: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    progress = job.get("progress") or {}
    fraction, error = progress.get("fraction"), job.get("error") or {}
    current = state_line(job.get("current"))
    print_fields(
        {
            "id": job["id"],
            "name": job.get("name"),
            "state": job["state"] + (f" ({job['requested']} asked)" if job.get("requested") else ""),
            "phase": job.get("phase"),
            "progress": None if fraction is None else f"{fraction:.0%}, iteration {progress.get('iteration') or 0}",
            "takes": time_left(progress.get("eta_seconds")) or None,
            "model": job.get("model"),
            "dataset": job.get("dataset"),
            "target": job.get("target"),
            "budget": budget_line(job.get("budget") or {}),
            "original": state_line(job.get("original")),
            "current": current and f"{current} on the hold-out",
            "result": state_line(job.get("result")),
            "uniform": state_line(job.get("uniform")),
            "error": error.get("detail") or error.get("title"),
            "continues": job.get("continues"),
            "of iteration": job.get("from_iteration"),
            "created": job.get("created_at"),
            "finished": job.get("finished_at"),
        }
    )


def _follow(client: "Client", job: str, *, as_json: bool) -> None:
    from app.cli.following import follow

    if not follow(client, job, as_json=as_json):
        raise typer.Exit(1)


def _print_action(job: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(job)
    else:
        typer.echo(f"{job['id']} {job['state']}" + (f", {job['requested']} asked" if job.get("requested") else ""))


def _labelled(figures: dict[str, Any] | None, latency: dict[str, Any] | None) -> dict[str, Any] | None:
    """With what tells a measured latency from a predicted one in place of the one number."""
    return {**figures, "latency_ms": latency} if figures and latency else figures


def _intervals(latency: dict[str, dict[str, Any]]) -> str | None:
    """`original 7.1 to 7.2 ms, smallest 2 to 2.1 ms`."""
    known = {name: found for name, found in latency.items() if found.get("measured") is not None}
    return ", ".join(f"{name} {found['low']:.4g} to {found['high']:.4g} ms" for name, found in known.items()) or None


def _print_feasibility(answer: Mapping[str, Any]) -> None:
    feasible, latency = answer.get("feasible"), answer.get("latency") or {}
    print_fields(
        {
            "feasible": "not known yet" if feasible is None else "yes" if feasible else "no",
            "basis": answer.get("basis"),
            "original": state_line(_labelled(answer.get("original"), latency.get("original"))),
            "smallest": state_line(_labelled(answer.get("smallest"), latency.get("smallest"))),
            "measured": _intervals(latency),
            "budget": budget_line(answer.get("budget") or {}),
            "iterations": answer.get("iterations_estimate"),
            "takes": duration(answer.get("seconds_estimate")),
            "reason": answer.get("reason"),
        }
    )
