"""`netadapt models`"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.connection import DEFAULT_URL, AsJson, Token, Url, connected
from app.cli.output import figure, print_deleted, print_fields, print_json, print_listing
from app.cli.terminal import sending

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Networks at the service.")


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A .pt2 or .onnx file, or a .safetensors with its architecture.")],
    name: Annotated[str | None, typer.Option(help="A label.")] = None,
    normalization: Annotated[
        str | None,
        typer.Option(
            help='JSON {"mean": [..], "std": [..]} on pixel / 255; default: that of the '
            "architecture's published weights, or ImageNet's for 3 channels, else 0.5."
        ),
    ] = None,
    classes: Annotated[str | None, typer.Option(help="JSON list of class names in the network's order.")] = None,
    architecture: Annotated[str | None, typer.Option(help="Zoo name that a .safetensors state_dict is for.")] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Uploads a network."""
    with sending(str(file), then="the service reads it") as told, connected(url, token, told) as client:
        model = client.models.add(
            file,
            name=name,
            architecture=architecture,
            normalization=_json_option(normalization, "--normalization"),
            classes=_json_option(classes, "--classes"),
        )
    _print_model(model, as_json=as_json)


@app.command("list")
def list_models(url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """All networks, newest first."""
    columns = {
        "id": lambda model: model["id"],
        "name": lambda model: model.get("name"),
        "state": lambda model: model.get("state"),
        "format": lambda model: model.get("format"),
        "mult-adds": lambda model: figure(model.get("macs")),
        "parameters": lambda model: figure(model.get("params")),
        "created": lambda model: model.get("created_at"),
    }
    with connected(url, token) as client:
        print_listing(client.models.list(), columns, as_json=as_json, empty="no networks yet")


@app.command()
def show(model: str, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """One network and its channel groups, with the reason where one cannot be pruned."""
    with connected(url, token) as client:
        _print_model(client.models.get(model), as_json=as_json)


@app.command()
def delete(model: str, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """Deletes a network that no job uses."""
    with connected(url, token) as client:
        client.models.delete(model)
    print_deleted(model, as_json=as_json)


def _json_option(text: str | None, option: str) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint=option) from None


def _print_model(model: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(model)
        return
    shape = model.get("input_shape")
    print_fields(
        {
            "id": model["id"],
            "name": model.get("name"),
            "state": model.get("state"),
            "error": (model.get("error") or {}).get("detail"),
            "format": model.get("format"),
            "input": " x ".join(map(str, shape)) if shape else None,
            "classes": len(model["classes"]) if model.get("classes") else None,
            "parameters": figure(model.get("params")),
            "mult-adds": figure(model.get("macs")),
            "created": model.get("created_at"),
        }
    )
    if model.get("groups"):
        columns = {
            "group": lambda group: group["id"],
            "kind": lambda group: group["kind"],
            "channels": _channels,
            "prunable": lambda group: "yes" if group["prunable"] else f"no: {group['reason']}",
            "layers": lambda group: ", ".join(group["layers"]),
        }
        typer.echo("")
        print_listing(model["groups"], columns, as_json=False, empty="")


def _channels(group: dict[str, Any]) -> str:
    """Of a grouped convolution with how many filters each of them is."""
    each = group.get("filters_each") or 1
    return f"{group['channels']} x {each} filters" if each > 1 else str(group["channels"])
