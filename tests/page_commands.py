"""The commands that README and pages show, as one would copy them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted({ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")})
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"#.*\(not run by a test: [^)]+\)\s*$")
COMMAND_LANGUAGES = ("", "sh")  # a picture is `text`


@dataclass(frozen=True, kw_only=True)
class Shown:
    """`words` without comment; `marked`: the reader is told that no test runs it, and why."""

    page: str
    words: tuple[str, ...]
    marked: bool

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def shown_commands() -> list[Shown]:
    return [command for page in PAGES for command in _of_page(page)]


def _of_page(page: Path) -> Iterator[Shown]:
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in COMMAND_LANGUAGES:
            yield from _of_block(page.relative_to(ROOT).as_posix(), block)


def _of_block(page: str, block: str) -> Iterator[Shown]:
    """A mark on a line of its own holds for what follows in the block."""
    all_marked = False
    for line in block.replace("\\\n", " ").splitlines():
        words = tuple(shlex.split(line, comments=True))
        marked = MARK.search(line) is not None
        all_marked = all_marked or (marked and not words)
        if words:
            yield Shown(page=page, words=words, marked=marked or all_marked)
