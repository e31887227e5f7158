"""`netadapt`: the commands put together, and how each ends: 0 done, 1 failed, 2 wrong usage."""

import os
import sys
from typing import Annotated

import typer

from app.cli import agent, architectures, datasets, families, jobs, models, server, targets, tokens, webhooks

app = typer.Typer(
    name="netadapt",
    help="Shrinks a trained CNN until its measured latency meets a budget.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: rich would cost a third of the time in which it has to answer
    pretty_exceptions_enable=False,
)
server.register(app)
app.add_typer(tokens.app, name="token")
app.add_typer(models.app, name="models")
app.add_typer(datasets.app, name="datasets")
app.add_typer(targets.app, name="targets")
app.add_typer(webhooks.app, name="webhooks")
agent.register(app)
architectures.register(app)
jobs.register(app)
families.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from app.version import VERSION

        typer.echo(f"netadapt {VERSION}")
        raise typer.Exit


@app.callback()
def netadapt(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Shrinks a trained CNN until its measured latency meets a budget."""


def run() -> None:
    """The entry point: a failure is one line on stderr, never a traceback."""
    from app.client.errors import NetAdaptError

    try:
        app()
    except NetAdaptError as error:
        sys.exit(_failed(str(error)))
    except BrokenPipeError:
        # Whoever read us has gone (`| head`); without this, Python complains once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(_failed("interrupted"))


def _failed(reason: str) -> int:
    print(f"netadapt: {' '.join(reason.split())}", file=sys.stderr)
    return 1
