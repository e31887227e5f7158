"""Run by alembic, through `app.database.migrate`, which hands over an open connection."""

from alembic import context
from sqlalchemy import Connection

from app import tables


def run(connection: Connection) -> None:
    # Batch mode: SQLite cannot alter a table in place, so alembic copies it.
    context.configure(connection=connection, target_metadata=tables.JobRow.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
