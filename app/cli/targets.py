"""`netadapt targets`"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.connection import DEFAULT_URL, AsJson, Token, Url, connected
from app.cli.output import print_fields, print_json, print_listing

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Where latency is measured.")


@app.command("list")
def list_targets(url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """All targets; `local` is always there."""
    columns = {
        "id": lambda target: target["id"],
        "name": lambda target: target.get("name"),
        "kind": lambda target: target.get("kind"),
        "runtime": lambda target: target.get("runtime"),
        "threads": lambda target: target.get("threads"),
        "batch": lambda target: target.get("batch"),
        "state": lambda target: target.get("state"),
    }
    with connected(url, token) as client:
        print_listing(client.targets.list(), columns, as_json=as_json, empty="no targets yet")


@app.command()
def show(target: str, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """One target and its conditions."""
    with connected(url, token) as client:
        _print_target(client.targets.get(target), as_json=as_json)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A JSON file: the body of POST /v1/targets.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Adds a target, for instance a fixed look-up table."""
    with connected(url, token) as client:
        _print_target(client.targets.add(_read_json(file)), as_json=as_json)


@app.command()
def delete(target: str, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Deletes a target and what was measured on it, unless a job uses it."""
    with connected(url, token) as client:
        client.targets.delete(target)
    typer.echo(f"{target} deleted")


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


def _print_target(target: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(target)
        return
    fields = ("id", "name", "kind", "runtime", "provider", "threads", "batch", "precision", "state", "last_seen_at")
    print_fields({field: target.get(field) for field in fields})
