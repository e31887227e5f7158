"""`netadapt webhooks`"""

from typing import Annotated

import typer

from app.cli.connection import DEFAULT_URL, AsJson, Token, Url, connected
from app.cli.output import print_deleted, print_json, print_listing

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Addresses that are told of the end of your jobs.")


@app.command()
def add(
    address: Annotated[str, typer.Argument(help="https://... or http://..., which is sent a POST.")],
    event: Annotated[
        list[str] | None,
        typer.Option(help="job.succeeded, job.failed or job.cancelled; again for more. Default: all."),
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Adds a webhook and prints the secret that its receiver checks signatures with, this once."""
    with connected(url, token) as client:
        added = client.webhooks.add(address, events=event)
    if as_json:
        print_json(added)
    else:
        typer.echo(f"{added['id']}; its secret, shown this once:", err=True)
        typer.echo(added["secret"])


@app.command("list")
def list_webhooks(url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """All webhooks, newest first."""
    columns = {
        "id": lambda webhook: webhook["id"],
        "url": lambda webhook: webhook["url"],
        "events": lambda webhook: ", ".join(webhook.get("events") or ()),
        "disabled": lambda webhook: webhook.get("disabled_at"),
        "created": lambda webhook: webhook.get("created_at"),
    }
    with connected(url, token) as client:
        print_listing(client.webhooks.list(), columns, as_json=as_json, empty="no webhooks yet")


@app.command()
def deliveries(webhook: str, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """What was sent to a webhook, is to be sent, or was given up; newest first."""
    columns = {
        "id": lambda delivery: delivery["id"],
        "event": lambda delivery: delivery.get("event"),
        "job": lambda delivery: delivery.get("job"),
        "state": lambda delivery: delivery.get("state"),
        "attempts": lambda delivery: delivery.get("attempts"),
        "next attempt": lambda delivery: delivery.get("next_attempt_at"),
        "error": lambda delivery: delivery.get("error"),
    }
    with connected(url, token) as client:
        print_listing(client.webhooks.deliveries(webhook), columns, as_json=as_json, empty="nothing was to be sent yet")


@app.command()
def delete(webhook: str, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """Deletes a webhook; what was not delivered yet never is."""
    with connected(url, token) as client:
        client.webhooks.delete(webhook)
    print_deleted(webhook, as_json=as_json)
