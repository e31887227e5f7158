"""Engine, unit of work, clock and migrations. SQLite by default, PostgreSQL when there are several machines."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from app.storage import Storage

Sessions = sessionmaker[Session]
BUSY_TIMEOUT_S = 30
_DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")
_STORAGE, _READER = "storage", "reader"  # in a session's `info`
DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeout)
"""What a transaction ends with when the connection is cut, or the database is not there, locked or full: not the fault
of whoever asked, and worth trying again."""
THREADS = 40
"""As many as the API answers in: a connection that the pool does not keep is opened anew, which takes as long as the
query."""
_NOTICE_ABSENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # ms
}
"""Of libpq, whose defaults wait minutes for a server that is cut off. The URL's query may say otherwise."""
_FULL = {13, "53100"}  # SQLITE_FULL; PostgreSQL's disk_full


class DatabaseError(Exception):
    """Root of what is wrong with the database as a whole."""


class DatabaseTooNew(DatabaseError):
    """The database was migrated by a newer version of this program."""

    def __init__(self, revision: str, known: str) -> None:
        super().__init__(revision, known)
        self.revision, self.known = revision, known

    def __str__(self) -> str:
        return (
            f"the database is at revision {self.revision}, this version knows none after {self.known}: "
            "start the version that migrated it, or a newer one"
        )


class DatabaseRefused(DatabaseError):
    """The URL names no database that this program runs on. It may hold a password, so it is not repeated."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return (
            f"NETADAPT_DATABASE_URL cannot be used: {self.why}; "
            "it is postgresql://user:password@host/name, or sqlite:////path/to/file.db"
        )


class DatabaseNotMigrated(DatabaseError):
    def __init__(self, revision: str | None, needed: str) -> None:
        super().__init__(revision, needed)
        self.revision, self.needed = revision, needed

    def __str__(self) -> str:
        at = f"at revision {self.revision}" if self.revision else "empty"
        return f"the database is {at}, {self.needed} is needed: run `netadapt migrate`"


def make_engine(url: str) -> Engine:
    """An engine for `sqlite:///file.db` or `postgresql+psycopg://...` (plain `postgresql://` means the same).

    Threads may share it; processes may not (make one per process). JSON with NaN or infinity is refused. Errors tell
    the statement without its values, which may be a webhook's secret, and errors are logged. Raises DatabaseError.
    """
    parsed = _parse(url)
    # What a statement that failed was about to write (hashes of tokens, secrets of webhooks) is no business of a log.
    shared = {"json_serializer": _to_json, "hide_parameters": True}
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, **shared, connect_args={"timeout": BUSY_TIMEOUT_S}, pool_size=THREADS)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    asked = {name: value for name, value in _NOTICE_ABSENCE.items() if name not in parsed.query}
    try:
        return create_engine(parsed, **shared, connect_args=asked, pool_pre_ping=True, pool_size=10, max_overflow=20)
    except ModuleNotFoundError as error:
        raise DatabaseError(f"{error}: install the package with its extra `postgres`") from error


def make_sessions(engine: Engine, storage: Storage | None = None) -> Sessions:
    """Sessions whose rows name files of `storage`: each is seen to be there before it is named (app/blobs.py)."""
    info = {_STORAGE: storage, _READER: engine.execution_options(read_only=True)}
    return sessionmaker(engine, expire_on_commit=False, info=info)


def storage_of(session: Session) -> Storage | None:
    """Where the files lie that this session's rows name; None for sessions of commands that name none."""
    storage: Storage | None = session.info[_STORAGE]
    return storage


@contextmanager
def unit_of_work(sessions: Sessions) -> Iterator[Session]:
    """The one place that commits: all that happens inside the block, or nothing of it."""
    with sessions.begin() as session:
        yield session


def on_one_machine(sessions: Sessions) -> bool:
    """Whether every process of the service is on this machine: SQLite's file is not shared over a network."""
    with sessions() as session:
        return session.get_bind().dialect.name == "sqlite"


@contextmanager
def reading(sessions: Sessions) -> Iterator[Session]:
    """A session that changes nothing: on SQLite it takes no write lock. What it did is rolled back."""
    with sessions(bind=sessions.kw["info"][_READER]) as session:
        yield session
        session.rollback()


def database_now(session: Session) -> datetime:
    """The database's clock, in UTC: the only one by which leases are judged."""
    if session.get_bind().dialect.name == "sqlite":
        stamp = session.scalar(select(func.strftime("%Y-%m-%d %H:%M:%f", "now")))
        return datetime.fromisoformat(str(stamp)).replace(tzinfo=UTC)
    now = session.scalar(select(func.clock_timestamp()))
    if not isinstance(now, datetime):
        raise TypeError(f"clock_timestamp() gave {now!r}")
    return now.astimezone(UTC)


def take_turns(session: Session, *key: str) -> None:
    """From here to the end of this transaction, whoever else takes turns by the same key waits.

    What a query counts then stays true until it is acted upon. On SQLite, whoever may write is alone anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("/".join(key), 0))))


def is_full(error: Exception) -> bool:
    """Whether one of DATABASE_AWAY says that the database's disk has no room left."""
    cause = getattr(error, "orig", None)
    return not _FULL.isdisjoint({getattr(cause, "sqlite_errorcode", None), getattr(cause, "sqlstate", None)})


def migrate(url: str) -> str:
    """Brings the database to the newest revision and returns its name. Raises DatabaseTooNew, and touches nothing.

    Two processes may do so at once: on SQLite the second waits for the first, on PostgreSQL for its lock.
    """
    _make_parent_folder(url)
    engine = make_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _leave_references_alone)
    try:
        with _alembic_config() as config, engine.connect() as connection:
            # Imported here: only `migrate` and start-up need alembic, and it takes a while to load.
            from alembic import command

            known, head = _known_revisions(config)
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(727369)"))
            at = _revision(connection)
            if at is not None and at not in known:
                raise DatabaseTooNew(at, head)
            if at != head:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                _check_references(connection)
            connection.commit()
            return head
    finally:
        engine.dispose()


def check_migrated(engine: Engine) -> None:
    """Raises DatabaseTooNew or DatabaseNotMigrated unless the database is at this version's revision."""
    with _alembic_config() as config, engine.connect().execution_options(read_only=True) as connection:
        known, head = _known_revisions(config)
        at = _revision(connection)
    if at == head:
        return
    if at is not None and at not in known:
        raise DatabaseTooNew(at, head)
    raise DatabaseNotMigrated(at, head)


@contextmanager
def _alembic_config() -> Iterator[Any]:
    from alembic.config import Config

    with as_file(files("migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        yield config


def _known_revisions(config: Any) -> tuple[frozenset[str], str]:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    if head is None:
        raise DatabaseError("this installation has no migrations: install the package again")
    return frozenset(script.revision for script in scripts.walk_revisions()), head


def _revision(connection: Any) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _parse(url: str) -> URL:
    """Raises DatabaseRefused."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise DatabaseRefused("it is no URL of a database") from error
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in _DRIVERS:
        raise DatabaseRefused(f"{parsed.drivername} is none of {', '.join(_DRIVERS)}")
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise DatabaseRefused("the processes of a service share no database in memory")
    return parsed


def _make_parent_folder(url: str) -> None:
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)


def _to_json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy's `begin` below starts transactions, not the driver
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _leave_references_alone(connection: Any, _record: Any) -> None:
    # SQLite alters a table by copying it and dropping the old one, which would take along every row that refers to it.
    connection.execute("PRAGMA foreign_keys=OFF")


def _check_references(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        broken = connection.execute(text("PRAGMA foreign_key_check")).first()
        if broken is not None:
            raise DatabaseError(f"the migration would leave rows of {broken[0]} without what they refer to: {broken}")


def _begin_sqlite(connection: Any) -> None:
    # A transaction that reads first and writes later fails at once when another wrote in between (SQLITE_BUSY is
    # not waited for then), so whoever may write takes the write lock at the start.
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
