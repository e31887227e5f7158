"""`netadapt token`: works on the database itself, for whoever runs the service."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import print_json, print_listing, print_outcome
from app.cli.server import AsJson, DataDir, settings_for
from app.records import LOCAL_CALLER, Role

if TYPE_CHECKING:
    from app.auth import TokenRepository

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Bearer tokens of this service.")


@app.command()
def create(
    name: Annotated[str | None, typer.Argument(help="A label.")] = None,
    owner: Annotated[str, typer.Option(help="Whose things it opens; the default has what was made before.")] = (
        LOCAL_CALLER.id
    ),
    role: Annotated[Role, typer.Option(help="An agent's token is for devices that measure.")] = "user",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Makes a token and prints it, this once: only its hash is kept."""
    from sqlalchemy import make_url

    with _tokens(data_dir) as tokens:
        token, secret = tokens.create_token(owner, role=role, name=name)
    if as_json:
        print_json({"id": token.id, "token": secret, "owner": token.owner, "role": token.role, "name": token.name})
    else:
        service = make_url(settings_for(data_dir).database_url).render_as_string()
        typer.echo(f"{token.id} for the service on {service}, shown this once:", err=True)
        typer.echo(secret)


@app.command("list")
def list_tokens(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """All tokens, oldest first, revoked ones too."""
    with _tokens(data_dir) as tokens:
        rows = [
            {
                "id": token.id,
                "name": token.name,
                "owner": token.owner,
                "role": token.role,
                "created_at": token.created_at.isoformat(),
                "last_used_at": None if token.last_used_at is None else token.last_used_at.isoformat(),
                "revoked_at": None if token.revoked_at is None else token.revoked_at.isoformat(),
            }
            for token in tokens.list_tokens()
        ]
    columns = {
        "id": lambda row: row["id"],
        "name": lambda row: row["name"],
        "owner": lambda row: row["owner"],
        "role": lambda row: row["role"],
        "created": lambda row: row["created_at"],
        "last used": lambda row: row["last_used_at"],
        "revoked": lambda row: row["revoked_at"],
    }
    print_listing(rows, columns, as_json=as_json, empty="no tokens: the service answers this machine alone")


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(help="The token's id, as `netadapt token list` has it.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Ends a token at once."""
    from app.auth import TokenNotFound
    from app.cli.failures import CommandFailed

    try:
        with _tokens(data_dir) as tokens:
            tokens.revoke_token(token)
    except TokenNotFound as error:
        raise CommandFailed(str(error)) from error
    print_outcome(f"{token} revoked", {"id": token, "revoked": True}, as_json=as_json)


@contextmanager
def _tokens(data_dir: Path | None) -> "Iterator[TokenRepository]":
    from app.auth import TokenRepository
    from app.cli.failures import failures_as_one_line
    from app.database import make_engine, make_sessions, migrate, unit_of_work

    url = settings_for(data_dir).database_url
    with failures_as_one_line():
        migrate(url)
        engine = make_engine(url)
        try:
            with unit_of_work(make_sessions(engine)) as session:
                yield TokenRepository(session)
        finally:
            engine.dispose()
