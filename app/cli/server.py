"""The commands that run the service on this machine: `serve`, `worker`, `migrate`."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.output import print_outcome

if TYPE_CHECKING:
    from app.settings import Settings

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Database and files; default: $NETADAPT_DATA_DIR or ./netadapt-data."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def serve(
    data_dir: DataDir = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; one beyond this machine needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    processes: Annotated[int, typer.Option(min=1, max=64, help="That answer; for many clients at once.")] = 1,
    workers: Annotated[bool, typer.Option("--worker/--no-worker", help="Run a worker beside the API.")] = True,
) -> None:
    """Runs the API and one worker; what dies beside the first process is started again."""
    from app.common_counts import counted_together

    settings = settings_for(data_dir)
    with counted_together() if processes > 1 else nullcontext():
        from app.cli.serving import serve_until_stopped

        serve_until_stopped(settings, host=host, port=port, processes=processes, with_worker=workers)


def worker(data_dir: DataDir = None) -> None:
    """Runs one worker, on the database of NETADAPT_DATABASE_URL or of the data folder."""
    from app.cli.failures import failures_as_one_line
    from app.cli.supervision import run_worker_in_place
    from app.database import migrate as migrate_database
    from app.scratch import check_data_folder

    settings = settings_for(data_dir)
    with failures_as_one_line():
        check_data_folder(settings.data_dir)
        migrate_database(settings.database_url)
    run_worker_in_place()


def migrate(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Brings the database to this version's revision; safe to repeat."""
    from app.cli.failures import failures_as_one_line
    from app.database import migrate as migrate_database

    settings = settings_for(data_dir)
    with failures_as_one_line():
        revision = migrate_database(settings.database_url)
    print_outcome(f"database at revision {revision}", {"revision": revision}, as_json=as_json)


def settings_for(data_dir: Path | None) -> "Settings":
    """The service's settings from the environment; `--data-dir` goes there too, for the worker to inherit."""
    from app.cli.failures import failures_as_one_line
    from app.settings import Settings

    if data_dir is not None:
        os.environ["NETADAPT_DATA_DIR"] = str(data_dir.resolve())
    with failures_as_one_line():
        return Settings()


def register(app: typer.Typer) -> None:
    for command in (serve, worker, migrate):
        app.command()(command)
