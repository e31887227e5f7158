"""Processes as the kernel lists them: who descends from whom, and whether they are gone."""

import os
import select
from collections.abc import Sequence
from pathlib import Path


def descendants(pid: int) -> list[tuple[int, str]]:
    """(process, its command line) of all that `pid` started, and those started in turn."""
    children: dict[int, list[int]] = {}
    titles: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            titles[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended in this moment
        children.setdefault(parent, []).append(int(folder.name))
    found, parents = [], [pid]
    while parents:
        own = children.get(parents.pop(), [])
        found += [(child, titles[child]) for child in own]
        parents += own
    return found


def wait_until_gone(pids: Sequence[int]) -> None:
    """Returns when they have ended; fails after two minutes."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            assert select.select([handle], [], [], 120)[0], f"process {pid} still runs"
        finally:
            os.close(handle)
