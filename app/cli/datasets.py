"""`netadapt datasets`"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.connection import DEFAULT_URL, AsJson, Token, Url, connected
from app.cli.output import Columns, Json, print_deleted, print_fields, print_json, print_listing, print_note
from app.cli.terminal import sending

FILES = (
    "An .npz (x_train, y_train, optionally x_val, y_val, x_test, y_test; NHWC uint8), a zip or tar (also packed by "
    "gzip, bzip2, xz or zstd) of one folder per class, or a .parquet with image bytes and label."
)
COUNTED = ("train", "holdout", "test")
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
    with sending(str(file), then="the service reads it") as told, connected(url, token, told) as client:
        added = client.datasets.add(file, name=name)
    _print_dataset(added, as_json=as_json)


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
def report(dataset: str, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """What is in a data set: images by class, sizes, channel means, what was converted or left out."""
    with connected(url, token) as client:
        found = client.datasets.report(dataset)
    if as_json:
        print_json(found)
        return
    print_fields(_report_fields(found))
    counts = found.get("counts") or {}
    parts = [part for part in COUNTED if any(part in by_part for by_part in counts.values())]
    columns: Columns = {"class": lambda row: row["class"]} | {part: _count_of(part) for part in parts}
    if counts:
        typer.echo()
        print_listing(
            [{"class": name, **by_part} for name, by_part in counts.items()], columns, as_json=False, empty=""
        )
    for note in found.get("notes") or []:
        print_note(note)


def _count_of(part: str) -> Callable[[Json], object]:
    return lambda row: row.get(part)


def _report_fields(found: Json) -> dict[str, object]:
    sizes, unreadable = found.get("sizes") or {}, found.get("unreadable") or {}
    splits = found.get("splits") or {}
    return {
        "data set": found.get("dataset"),
        "state": found.get("state"),
        "classes": len(found["classes"]) if found.get("classes") else None,
        "image": _shape(found),
        "sent sizes": _sizes_line(sizes) if sizes else None,
        "channel mean": _figures(found.get("channel_mean")),
        "channel std": _figures(found.get("channel_std")),
        "unreadable": unreadable.get("count") or None,
        "duplicates": (found.get("duplicates") or {}).get("count") or None,
        "test from": splits.get("test_from"),
        "hold-out from": splits.get("holdout_from"),
        "thumbnails": (found.get("thumbnails") or {}).get("count"),
    }


def _sizes_line(sizes: Json) -> str:
    smallest, largest = (" x ".join(map(str, sizes[end])) for end in ("smallest", "largest"))
    return smallest if sizes["distinct"] == 1 else f"{smallest} to {largest}, {sizes['distinct']} sizes"


def _figures(values: list[float] | None) -> str | None:
    """Of pixel / 255, by channel."""
    return ", ".join(f"{value:.4f}" for value in values) if values else None


@app.command()
def delete(dataset: str, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """Deletes a data set that no job uses."""
    with connected(url, token) as client:
        client.datasets.delete(dataset)
    print_deleted(dataset, as_json=as_json)


def _shape(dataset: Json) -> str | None:
    shape = dataset.get("image_shape")
    return " x ".join(map(str, shape)) if shape else None


def _print_dataset(dataset: Mapping[str, Any], *, as_json: bool) -> None:
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
            "hold-out from": splits.get("holdout_from"),
            "created": dataset.get("created_at"),
        }
    )
