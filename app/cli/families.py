"""`family` and `curve`: several networks for several devices out of one search, and what each costs and scores."""

from typing import Annotated, Any

import typer

from app.cli.arguments import limits_of, numbers_of
from app.cli.connection import DEFAULT_URL, AsJson, Token, Url, connected
from app.cli.output import Columns, budget_line, figure, latency_of, percent, print_listing

Job = Annotated[str, typer.Argument(metavar="JOB", help="The id of the job that searched.")]


def family(
    job: Job,
    iterations: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="The picks of these iterations, as 2,4,7.")
    ] = None,
    budgets: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE,VALUE,...",
            help="For each the first pick within it: 6,8 or 50%,70% of the job's own resource, or params=50%.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Of each fine-tune; default: the job's.")] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Trains picks of JOB to the end, each in a job of its own; without a choice some spread over its search."""
    if iterations is not None and budgets is not None:
        raise typer.BadParameter("give --iterations or --budgets, not both", param_hint="--budgets")
    asked: dict[str, Any] = {
        "iterations": None if iterations is None else numbers_of(iterations, "--iterations"),
        "budgets": None if budgets is None else limits_of(budgets, "--budgets"),
    }
    columns: Columns = {
        "id": lambda member: member["id"],
        "iteration": lambda member: member.get("from_iteration"),
        "budget": lambda member: budget_line(member.get("budget") or {}),
        "state": lambda member: member["state"],
    }
    with connected(url, token) as client:
        members = client.family(job, **asked, long_term_epochs=epochs)
    print_listing(members, columns, as_json=as_json, empty="no members")


def curve(job: Job, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """What each network of JOB and its family needs and scores, the slowest first."""
    columns: Columns = {
        "network": _name,
        "job": lambda point: point["job"],
        "checkpoint": lambda point: point.get("checkpoint"),
        "latency": latency_of,
        "mult-adds": lambda point: figure(point.get("macs")),
        "parameters": lambda point: figure(point.get("params")),
        "memory": lambda point: figure(point.get("memory_bytes"), "B"),
        "hold-out": lambda point: percent(point.get("holdout_accuracy")),
        "test": lambda point: percent(point.get("test_accuracy")),
    }
    with connected(url, token) as client:
        found = client.curve(job)
    print_listing(found["data"], columns, as_json=as_json, empty="no network yet")


def register(app: typer.Typer) -> None:
    for command in (family, curve):
        app.command()(command)


def _name(point: Any) -> str:
    """`pick 3`, and of a member that is not over yet how it stands."""
    name = point["kind"] if point["kind"] == "original" else f"{point['kind']} {point['iteration']}"
    return name if point.get("checkpoint") else f"{name} ({point.get('state')})"
