"""`netadapt architectures`"""

import typer

from app.cli.connection import DEFAULT_URL, AsJson, Token, Url, connected
from app.cli.output import Json, figure, print_listing


def register(app: typer.Typer) -> None:
    app.command("architectures")(list_architectures)


def list_architectures(url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """The zoo: each network's mult-adds and parameters beside its paper's figures, in millions."""
    columns = {
        "name": lambda row: row["name"],
        "mult-adds": lambda row: figure(row.get("macs")),
        "paper": lambda row: _printed(row, "macs_millions"),
        "parameters": lambda row: figure(row.get("params")),
        "paper ": lambda row: _printed(row, "params_millions"),
        "reference": lambda row: (row.get("paper") or {}).get("reference"),
    }
    with connected(url, token) as client:
        print_listing(client.architectures(), columns, as_json=as_json, empty="no architectures")


def _printed(row: Json, name: str) -> str | None:
    value = (row.get("paper") or {}).get(name)
    return None if value is None else f"{value:g} M"
