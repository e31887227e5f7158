"""A child process with limits, for work on files that strangers sent: it prints one JSON object and ends."""

import json
import logging
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapt.errors import AdaptError

_ROOT = Path(__file__).resolve().parents[1]  # so that the child imports this `adapt` and no other
_KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH", "TMPDIR")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ChildLimits:
    """`memory_bytes` bounds the address space, of which Python and numpy take about 0.5 GiB themselves."""

    memory_bytes: int = 4 << 30
    cpu_s: int = 60
    wall_s: float = 120.0


class ChildEnded(AdaptError):
    """The child was stopped by a limit, or failed; `why` says so for people."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


def run_in_child(module: str, arguments: Sequence[str], limits: ChildLimits) -> dict[str, Any]:
    """The JSON object that `python -m module memory_bytes cpu_s *arguments` prints. Raises ChildEnded.

    No thread is forked: the child is a fresh interpreter. It must begin with `limit_this_process`.
    """
    numbers = [str(limits.memory_bytes), str(limits.cpu_s)]
    command = [sys.executable, "-P", "-m", module, *numbers, *arguments]
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    # A thread pool of OpenBLAS alone reserves more address space than the limit.
    environment |= {"PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        finished = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=limits.wall_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ChildEnded(f"reading it takes longer than {limits.wall_s:g} s") from error
    if finished.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise ChildEnded(f"reading it takes more than {limits.cpu_s} s of CPU time, or was stopped from outside")
    if finished.returncode != 0:
        errors = finished.stderr.decode(errors="replace")
        _log.error("%s ended with %d: %s", module, finished.returncode, errors[-2000:])
        memory = "MemoryError" in errors or finished.returncode < 0
        why = f"it may need more than {limits.memory_bytes >> 20} MiB of memory" if memory else "the file is damaged"
        raise ChildEnded(f"the reader could not cope with this file: {why}")
    outcome: dict[str, Any] = json.loads(finished.stdout)
    return outcome


def limit_this_process(arguments: Sequence[str]) -> list[str]:
    """For the child: takes its limits from the first two arguments, and returns the others."""
    memory_bytes, cpu_s = int(arguments[0]), int(arguments[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return list(arguments[2:])
