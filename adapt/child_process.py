"""A child process with limits, for work on files that strangers sent: it prints one JSON object and ends."""

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from adapt.errors import AdaptError, Stopped
from adapt.stop import Stop, never

LOOK_S = 0.2  # how often somebody who waits for a child looks whether to stop
_ROOT = Path(__file__).resolve().parents[1]  # so that the child imports this `adapt` and no other
_KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH", "TMPDIR")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ChildLimits:
    """`memory_bytes` bounds the address space, of which Python and numpy take about 0.5 GiB themselves; `private_bytes`
    what of it is not mapped from files (0: all of it may be)."""

    memory_bytes: int = 4 << 30
    private_bytes: int = 0
    cpu_s: int = 60
    wall_s: float = 120.0

    @property
    def stated_bytes(self) -> int:
        """The limit that whoever ran into it is told of."""
        return self.private_bytes or self.memory_bytes


class ChildEnded(AdaptError):
    """The child was stopped by a limit, or failed; `why` says so for people."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


def run_in_child(module: str, arguments: Sequence[str], limits: ChildLimits, *, stop: Stop = never) -> dict[str, Any]:
    """The JSON object that `python -m module memory_bytes private_bytes cpu_s *arguments` prints.

    No thread is forked: the child is a fresh interpreter. It must begin with `limit_this_process`. Raises ChildEnded,
    and Stopped when `stop` turns true: the child is ended then.
    """
    numbers = [str(limits.memory_bytes), str(limits.private_bytes), str(limits.cpu_s)]
    command = [sys.executable, "-P", "-m", module, *numbers, *arguments]
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    # A thread pool of OpenBLAS alone reserves more address space than the limit.
    environment |= {"PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as child:
        try:
            output, errors = _output_of(child, limits.wall_s, stop)
        finally:
            child.kill()  # does nothing to one that has ended
    if child.returncode != 0:
        raise _ended(module, child.returncode, errors.decode(errors="replace"), limits)
    outcome: dict[str, Any] = json.loads(output)
    return outcome


def _output_of(child: "subprocess.Popen[bytes]", wall_s: float, stop: Stop) -> tuple[bytes, bytes]:
    """What it printed and what it complained of, at its end. Raises ChildEnded and Stopped before that."""
    end = time.monotonic() + wall_s
    while True:
        left = end - time.monotonic()
        try:
            return child.communicate(timeout=max(0.0, left if stop is never else min(LOOK_S, left)))
        except subprocess.TimeoutExpired as error:
            if stop():
                raise Stopped from error
            if left <= 0:
                raise ChildEnded(f"reading it takes longer than {wall_s:g} s (limit max_read_s)") from error


def _ended(module: str, code: int, errors: str, limits: ChildLimits) -> ChildEnded:
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        which = f"more than {limits.cpu_s} s of CPU time (limit max_read_s)"
        return ChildEnded(f"reading it takes {which}, or was stopped from outside")
    _log.error("%s ended with %d: %s", module, code, errors[-2000:])
    memory = "MemoryError" in errors or code < 0
    why = f"it may need {more_memory(limits)}" if memory else "the file is damaged"
    return ChildEnded(f"the reader could not cope with this file: {why}")


def more_memory(limits: ChildLimits) -> str:
    """How a refusal names the limit of memory."""
    return f"more than {limits.stated_bytes >> 20} MiB of memory (limit max_read_memory_bytes)"


def answer(outcome: Mapping[str, object]) -> NoReturn:
    """For the child: prints its JSON object, and ends there. How native libraries take leave is left out: pyarrow's was
    seen to abort, once in a hundred thousand files, when all had been said."""
    print(json.dumps(outcome), flush=True)
    os._exit(0)


def limit_this_process(arguments: Sequence[str]) -> list[str]:
    """For the child: takes its limits from the first three arguments, and returns the others."""
    memory_bytes, private_bytes, cpu_s = map(int, arguments[:3])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    if private_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (private_bytes, private_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return list(arguments[3:])
