"""`netadapt`: the commands put together, and how each ends: 0 done, 1 failed, 2 wrong usage."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import agent, architectures, datasets, families, jobs, models, server, targets, tokens, webhooks
from app.ctrl_c import let_ctrl_c_in

if TYPE_CHECKING:
    from app.client.errors import NetAdaptError

LISTS = {
    "there is no job ": "jobs",
    "there is no model ": "models list",
    "there is no data set ": "datasets list",
    "there is no target ": "targets list",
}

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
    """A failure is one line on stderr, never a traceback."""
    from app.client.errors import NetAdaptError

    try:
        let_ctrl_c_in()
        app(prog_name="netadapt")
    except NetAdaptError as error:
        sys.exit(_failed(f"{error}{_what_to_do(error)}"))
    except BrokenPipeError:
        # Whoever read us has gone (`| head`); without this, Python complains once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(_failed("interrupted"))


def _what_to_do(error: "NetAdaptError") -> str:
    """By the command that helps, which the service does not know of."""
    if error.status == 401:
        return "; give --token, or set NETADAPT_TOKEN: whoever runs the service makes one with `netadapt token create`"
    lists = next((command for said, command in LISTS.items() if said in error.detail), None)
    return "" if lists is None else f"; `netadapt {lists}` shows which there are"


def _failed(reason: str) -> int:
    print(f"netadapt: {' '.join(reason.split())}", file=sys.stderr)
    return 1
