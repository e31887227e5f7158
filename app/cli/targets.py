"""`netadapt targets`"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.arguments import pairs_of
from app.cli.connection import DEFAULT_URL, AsJson, Token, Url, connected
from app.cli.coverage import print_coverage
from app.cli.output import print_deleted, print_fields, print_json, print_listing

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Where latency is measured.")

_FIELDS = ("id", "name", "kind", "runtime", "provider", "threads", "batch", "precision", "state", "last_seen_at")


@app.command("list")
def list_targets(url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """All targets; `local` is always there."""
    columns = {
        "id": lambda target: target["id"],
        "name": lambda target: target.get("name"),
        "kind": lambda target: target.get("kind"),
        "runtime": lambda target: target.get("runtime"),
        "provider": lambda target: target.get("provider"),
        "threads": lambda target: target.get("threads"),
        "batch": lambda target: target.get("batch"),
        "precision": lambda target: target.get("precision"),
        "state": lambda target: target.get("state"),
    }
    with connected(url, token) as client:
        print_listing(client.targets.list(), columns, as_json=as_json, empty="no targets yet")


@app.command()
def show(target: str, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """One target, the conditions it measured under last, and what its look-up table covers."""
    from app.client.errors import NotFound

    with connected(url, token) as client:
        found = client.targets.get(target)
        try:
            table = client.targets.lookup_table(target)
        except NotFound:
            table = None  # nothing was measured yet
    if as_json:
        print_json({**found, "lookup_table": table})
        return
    _print_target(found)
    if table is None:
        typer.echo("nothing was measured on it yet")
    else:
        print_coverage(table)


@app.command()
def add(
    file: Annotated[Path | None, typer.Argument(help="A JSON file: the body of POST /v1/targets.")] = None,
    runtime: Annotated[str | None, typer.Option(help="onnxruntime, torch or torch-compile.")] = None,
    provider: Annotated[str | None, typer.Option(help="An execution provider of onnxruntime; cpu or cuda.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, of the provider; again for more.")] = None,
    threads: Annotated[int | None, typer.Option(help="Of one network's operators.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images of one run.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32 or int8.")] = None,
    name: Annotated[str | None, typer.Option(help="A label.")] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Adds a target: this machine with a runtime of your choice, or a fixed look-up table from FILE."""
    given = {
        "runtime": runtime,
        "provider": provider,
        "provider_options": pairs_of(option, "--option") if option else None,
        "threads": threads,
        "batch": batch,
        "precision": precision,
        "name": name,
    }
    choice = {key: value for key, value in given.items() if value is not None}
    if (file is None) == (not choice):
        raise typer.BadParameter("give either a file, or options such as --runtime", param_hint="FILE")
    body = {"kind": "local", **choice} if file is None else _read_json(file)
    with connected(url, token) as client:
        added = client.targets.add(body)
    if as_json:
        print_json(added)
    else:
        _print_target(added)


@app.command()
def delete(target: str, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """Deletes a target and what was measured on it, unless a job uses it."""
    with connected(url, token) as client:
        client.targets.delete(target)
    print_deleted(target, as_json=as_json)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from None
    except ValueError as error:
        raise typer.BadParameter(f"{file}: not JSON: {error}", param_hint="FILE") from None
    if not isinstance(body, dict):
        raise typer.BadParameter(f"{file}: a target is a JSON object", param_hint="FILE")
    return body


def _print_target(target: Mapping[str, Any]) -> None:
    options = " ".join(f"{key}={value}" for key, value in (target.get("provider_options") or {}).items())
    fields = {field: target.get(field) for field in _FIELDS}
    print_fields(fields | {"options": options or None, "error": (target.get("error") or {}).get("detail")})
