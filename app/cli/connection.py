"""The options that every client command takes, and the client they open."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

if TYPE_CHECKING:
    from app.client import Client
    from app.client.driving import OnUpload

DEFAULT_URL = "http://127.0.0.1:8000"


def checked_url(url: str) -> str:
    """Raises BadParameter unless `url` is http(s)://host[:port]."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise typer.BadParameter(f"{url!r} is no address such as {DEFAULT_URL}")
    return url


Url = Annotated[str, typer.Option("--url", envvar="NETADAPT_URL", help="Address of the service.", callback=checked_url)]
Token = Annotated[
    str | None, typer.Option("--token", envvar="NETADAPT_TOKEN", help="Bearer token; none needed on a local service.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the service's JSON instead of text.")]


@contextmanager
def connected(url: str, token: str | None, on_upload: "OnUpload | None" = None) -> "Iterator[Client]":
    from app.client import Client

    with Client(url, token, on_upload=on_upload) as client:
        yield client
