"""Reads mutated files one after the other inside limits: `python -m benchmarks.fuzzing.child`.

Arguments: corpus, seed, and pieces such as pt2:0:1000 (format, first case, how many). It prints the format and number
of each case before it reads it, and behind them the outcome: one word and the peak of memory so far, or what is wrong
as JSON. Whoever waits sees at which case it died.
"""

import contextlib
import json
import os
import re
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from adapt.errors import Refused
from app.json_body import BodyMalformed
from app.problems import find_problem
from benchmarks.fuzzing.formats import FORMATS, Format, read_in_this_process
from benchmarks.fuzzing.raw import MOST_BYTES

LONGEST_S = 5.0
MEMORY_BYTES = 1024 << 20  # what a small network's reader may take beside its file; the others may take more
LONGEST_TEXT = 1500
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN = ("socket.", "subprocess.", "pickle.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn")
_TOUCHING = ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.truncate", "os.chmod")


class Watch:
    """What was touched outside of `folder`, or done that no reader does, by the interpreter's own account."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.seen, self.is_on = str(folder), list[str](), False
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        writes = event in _TOUCHING or (event == "open" and arguments[2] & _WRITING)
        if event.startswith(_FORBIDDEN) or (writes and self._is_outside(arguments)):
            self.seen.append(f"{event} {str(arguments)[:200]}")

    def _is_outside(self, arguments: tuple[Any, ...]) -> bool:
        path = arguments[0]
        return not isinstance(path, int) and not os.path.abspath(os.fsdecode(path)).startswith(self._folder)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        self.seen.clear()
        self.is_on = True
        try:
            yield
        finally:
            self.is_on = False


def main(corpus: str, seed: str, *pieces: str) -> None:
    read_in_this_process()
    plan = [(name, int(first), int(count)) for name, first, count in (piece.split(":") for piece in pieces)]
    seeds = {name: [path.read_bytes() for path in sorted(Path(corpus, name).iterdir())] for name, _, _ in plan}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        watch = Watch(Path(folder))
        for name, files in seeds.items():
            warm_up(FORMATS[name], files, Path(folder, name))
        limit()
        for name, first, count in plan:
            for case in range(first, first + count):
                print(name, case, end=" ", flush=True)
                data = FORMATS[name].case(seeds[name], Random(f"{seed} {name} {case}"))[:MOST_BYTES]
                print(outcome_of(FORMATS[name], data, Path(folder), watch), flush=True)


def warm_up(form: Format, seeds: list[bytes], folder: Path) -> None:
    """Imports what reading needs. The first seed is read; others may be refused, late."""
    for number, seed in enumerate(seeds):
        upload, scratch = folder / f"seed{number}", folder / f"scratch{number}"
        scratch.mkdir(parents=True)
        upload.write_bytes(seed)
        with contextlib.nullcontext() if number == 0 else contextlib.suppress(Refused):
            form.read(upload, scratch)


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = max(MEMORY_BYTES, used + (512 << 20))
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def outcome_of(form: Format, data: bytes, folder: Path, watch: Watch) -> str:
    """One word for what is as it should be; else JSON that says what is not."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        upload, room = Path(scratch, "upload"), Path(scratch, "room")
        upload.write_bytes(data)
        room.mkdir()
        signal.setitimer(signal.ITIMER_REAL, LONGEST_S)  # its signal ends the process, wherever that hangs
        try:
            with watch.watching():
                word = f"{read(form, upload, room)} {peak_bytes()}"
        except Exception as error:
            word = json.dumps({"raised": type(error).__name__, "where": _where(error), "text": ascii(str(error))[:300]})
        signal.setitimer(signal.ITIMER_REAL, 0)
    return json.dumps({"touched": watch.seen[:3]}) if watch.seen else word


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def read(form: Format, upload: Path, room: Path) -> str:
    """Raises whatever is not one of the errors that become an answer 4xx."""
    try:
        stored = form.read(upload, room)
    except (Refused, BodyMalformed) as error:
        problem = find_problem(error)
        if problem is None or not 400 <= problem.status < 500:
            raise
        check_text(str(error), LONGEST_TEXT)
        return "memory" if "of memory" in str(error) else type(error).__name__
    json.dumps(stored, allow_nan=False)
    for text in texts_of(stored):
        check_text(text, MOST_BYTES)
    return "read"


def texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from texts_of(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts_of(item)


def check_text(text: str, longest: int) -> None:
    """Raises ValueError for what a database, a terminal or a JSON answer cannot take."""
    unfit = _UNFIT.search(text)
    if unfit or len(text) > longest:
        shown = ascii(text[max(0, unfit.start() - 60) :][:90] if unfit else text[:90])
        raise ValueError(f"unfit text of {len(text)} characters: {shown}")


def _where(error: Exception) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "fuzzing" not in frame.filename]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[::-1][:5])


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # as the service's reading children end: how native libraries take leave is left out
