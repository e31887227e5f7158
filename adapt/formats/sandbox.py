"""Uploads are parsed in a child process with memory, CPU and time limits; what comes back is a file that we wrote."""

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from adapt.errors import FormatRefused, NetworkRefused, UnsupportedOperator
from adapt.formats.safetensors_file import read_graph
from adapt.graph.network import Graph

_ROOT = Path(__file__).resolve().parents[2]  # so that the child imports this `adapt` and no other
_KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH", "TMPDIR")
_ERRORS = {"operator": UnsupportedOperator, "format": FormatRefused, "network": NetworkRefused}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ReaderLimits:
    """`memory_bytes` bounds the address space: about twice the file, and 0.5 GiB for Python and numpy themselves."""

    memory_bytes: int = 4 << 30
    cpu_s: int = 60
    wall_s: float = 120.0


def read_in_child(path: Path, out: Path, limits: ReaderLimits | None = None) -> Graph:
    """Reads a stranger's .pt2 or .safetensors file and writes the network to `out` as a checkpoint of ours.

    Returns the graph of `out`; `read_safetensors(out)` has the weights too. No thread is forked, nothing is
    unpickled, torch is not loaded. Raises FormatRefused, UnsupportedOperator or NetworkRefused: the file's fault, or a
    limit that reading it ran into; `out` is then not there.
    """
    limits = limits or ReaderLimits()
    try:
        outcome = _run(path, out, limits)
        if outcome["kind"] in _ERRORS:
            raise _ERRORS[outcome["kind"]](*outcome["arguments"])
        if outcome["kind"] == "memory":
            raise NetworkRefused("", f"reading it takes more than {limits.memory_bytes >> 20} MiB of memory")
        return read_graph(out)
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _run(path: Path, out: Path, limits: ReaderLimits) -> dict[str, str]:
    """The child's JSON line. Raises NetworkRefused when it was ended or failed."""
    module = "adapt.formats.reader_process"
    numbers = [str(limits.memory_bytes), str(limits.cpu_s)]
    command = [sys.executable, "-P", "-m", module, str(path.resolve()), str(out.resolve()), *numbers]
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    # A thread pool of OpenBLAS alone reserves more address space than the limit.
    environment |= {"PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        finished = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=limits.wall_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NetworkRefused("", f"reading it takes longer than {limits.wall_s:g} s") from error
    if finished.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise NetworkRefused(
            "", f"reading it takes more than {limits.cpu_s} s of CPU time, or was stopped from outside"
        )
    if finished.returncode != 0:
        errors = finished.stderr.decode(errors="replace")
        _log.error("the reader of %s ended with %d: %s", path.name, finished.returncode, errors[-2000:])
        memory = "MemoryError" in errors or finished.returncode < 0
        why = f"it may need more than {limits.memory_bytes >> 20} MiB of memory" if memory else "the file is damaged"
        raise NetworkRefused("", f"the reader could not cope with this file: {why}")
    outcome: dict[str, str] = json.loads(finished.stdout)
    return outcome
