"""What only a terminal gets: tables of its width, and a sign that something is going on. NO_COLOR is rich's to obey."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

UNKNOWN = "-"
"""In a table's cell."""


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Cells that do not fit are folded between their words. Where that is not enough, each row is a paragraph, which
    leaves out what is unknown."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if _narrowest(titles, rows) > console.width:
        _print_paragraphs(console, titles, rows)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, title in enumerate(titles):
        table.add_column(title.upper(), no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _narrowest(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """In how many characters no word is broken, and no cell of the first column: ids are there to be copied."""
    ids, *others = zip(titles, *rows, strict=True)
    words = (" ".join(cells).split() for cells in others)
    return max(map(len, ids)) + sum(2 + max(map(len, found), default=0) for found in words)


def _print_paragraphs(console: "Console", titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    for row in rows:
        paragraph = Table.grid(padding=(0, 2, 0, 0))
        paragraph.add_column(no_wrap=True, style="bold")
        paragraph.add_column(overflow="fold")
        for title, cell in zip(titles, row, strict=True):
            if cell not in {"", UNKNOWN}:
                paragraph.add_row(title.upper(), Text(cell))
        console.print(paragraph)
        console.print()


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


@contextmanager
def sending(what: str, then: str) -> Iterator[Callable[[int, int], None] | None]:
    """Gives what is to be told of the bytes that are out: a bar with the time left, and once they all are, that `then`
    is waited for. In a pipe None."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"sending {escape(what)}", total=None)

        def told(sent: int, size: int) -> None:
            description = f"sending {escape(what)}" if sent < size else f"{then} ..."
            progress.update(task, completed=sent, total=size, description=description)

        yield told
