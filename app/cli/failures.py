"""A command's own failure: one line on stderr, exit code 1."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer


class CommandFailed(typer.Exit):
    """Ends the command with exit code 1; raised after the reason is said."""

    def __init__(self, reason: str) -> None:
        super().__init__(1)
        typer.echo(f"netadapt: {' '.join(reason.split())}", err=True)


@contextmanager
def failures_as_one_line() -> Iterator[None]:
    """What settings, database, storage and data folder refuse on purpose; anything else is a fault of ours and keeps
    its traceback."""
    from pydantic import ValidationError
    from sqlalchemy.exc import DBAPIError

    from app.database import DatabaseError
    from app.scratch import DataFolderRefused
    from app.storage import StorageError

    try:
        yield
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        wrong = "; ".join(f"NETADAPT_{str(each['loc'][0]).upper()}: {_words(each['msg'])}" for each in faults)
        raise CommandFailed(f"the settings are wrong: {wrong}") from error
    except DBAPIError as error:
        raise CommandFailed(f"the database: {error.orig}") from error
    except (DatabaseError, StorageError, DataFolderRefused) as error:
        raise CommandFailed(str(error)) from error
    except OSError as error:
        raise CommandFailed(f"{error.filename or 'the data folder'}: {error.strerror}") from error


def _words(message: str) -> str:
    return message.removeprefix("Value error, ")
