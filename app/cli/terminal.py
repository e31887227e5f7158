"""What only a terminal gets: tables of its width, and a sign that something is going on. NO_COLOR is rich's to obey."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Cells that do not fit are folded; those of the first column never are, since ids are there to be copied."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, title in enumerate(titles):
        table.add_column(title.upper(), no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Says on stderr what is waited for, as long as it is; in a pipe nothing."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(f"{escape(what)} ..."):
        yield
