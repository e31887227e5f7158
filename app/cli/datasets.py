"""`netadapt datasets`"""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.connection import DEFAULT_URL, AsJson, Token, Url, connected
from app.cli.output import print_fields, print_json, print_listing

FILES = (
    "An .npz (x_train, y_train, optionally x_test, y_test; NHWC uint8), a zip or tar of one folder per class, "
    "or a .parquet with image bytes and label."
)
COUNTED = ("train", "test")
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Labelled images at the service.")


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help=FILES)],
    name: Annotated[str | None, typer.Option(help="A label.")] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Uploads a data set."""
    with connected(url, token) as client:
        _print_dataset(client.datasets.add(file, name=name), as_json=as_json)


@app.command("list")
def list_datasets(url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """All data sets, newest first; `digits` is always there."""
    columns = {
        "id": lambda dataset: dataset["id"],
        "name": lambda dataset: dataset.get("name"),
        "state": lambda dataset: dataset.get("state"),
        "classes": lambda dataset: len(dataset["classes"]) if dataset.get("classes") else None,
        "image": lambda dataset: _shape(dataset),
        "created": lambda dataset: dataset.get("created_at"),
    }
    with connected(url, token) as client:
        print_listing(client.datasets.list(), columns, as_json=as_json, empty="no data sets yet")


@app.command()
def show(dataset: str, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """One data set and its splits."""
    with connected(url, token) as client:
        _print_dataset(client.datasets.get(dataset), as_json=as_json)


@app.command()
def delete(dataset: str, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Deletes a data set that no job uses."""
    with connected(url, token) as client:
        client.datasets.delete(dataset)
    typer.echo(f"{dataset} deleted")


def _shape(dataset: dict[str, Any]) -> str | None:
    shape = dataset.get("image_shape")
    return " x ".join(map(str, shape)) if shape else None


def _print_dataset(dataset: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(dataset)
        return
    splits = dataset.get("splits") or {}
    print_fields(
        {
            "id": dataset["id"],
            "name": dataset.get("name"),
            "state": dataset.get("state"),
            "error": (dataset.get("error") or {}).get("detail"),
            "classes": ", ".join(map(str, dataset["classes"])) if dataset.get("classes") else None,
            "image": _shape(dataset),
            "images": ", ".join(f"{name} {count}" for name, count in splits.items() if name in COUNTED) or None,
            "test from": splits.get("test_from"),
            "created": dataset.get("created_at"),
        }
    )
