"""The options that every client command takes, and the client they open."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.client import Client

DEFAULT_URL = "http://127.0.0.1:8000"

Url = Annotated[str, typer.Option("--url", envvar="NETADAPT_URL", help="Address of the service.")]
Token = Annotated[
    str | None, typer.Option("--token", envvar="NETADAPT_TOKEN", help="Bearer token; none needed on a local service.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the service's JSON instead of text.")]


@contextmanager
def connected(url: str, token: str | None) -> "Iterator[Client]":
    from app.client import Client

    with Client(url, token) as client:
        yield client
