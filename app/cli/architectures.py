"""`netadapt architectures`"""

import sys

import typer

from app.cli.connection import DEFAULT_URL, AsJson, Token, Url, connected
from app.cli.output import Json, figure, print_listing

SPELLING = (
    "Names are [se_]<family>[_<width>][_<resolution>], such as mobilenet_v2_0.50_96; `also` is what a family takes.\n"
    "se_ puts squeeze-and-excitation (reduction 16) behind every block."
)


def register(app: typer.Typer) -> None:
    app.command("architectures")(list_architectures)


def list_architectures(url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """The zoo: each network's mult-adds and parameters beside its paper's figures, in millions.

    Other widths and resolutions have names too, [se_]<family>[_<width>][_<resolution>]; se_ puts squeeze-and-excitation
    behind every block.
    """
    columns = {
        "name": lambda row: row["name"],
        "mult-adds": lambda row: figure(row.get("macs")),
        "paper": lambda row: _printed(row, "macs_millions"),
        "parameters": lambda row: figure(row.get("params")),
        "paper ": lambda row: _printed(row, "params_millions"),
        "also": _also,
        "reference": lambda row: (row.get("paper") or {}).get("reference"),
    }
    with connected(url, token) as client:
        print_listing(client.architectures(), columns, as_json=as_json, empty="no architectures")
    if sys.stdout.isatty() and not as_json:
        typer.echo(SPELLING)


def _also(row: Json) -> str | None:
    return (
        " ".join(part for part, has in (("se_", row.get("takes_se")), ("width", row.get("has_width"))) if has) or None
    )


def _printed(row: Json, name: str) -> str | None:
    value = (row.get("paper") or {}).get(name)
    return None if value is None else f"{value:g} M"
