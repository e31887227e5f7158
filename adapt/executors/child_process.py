"""The parent's end of one child process: starting it, listening, and noticing that it died or hangs."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from adapt.executors.messages import Beat, Diverges, Done, Failed, Order, Report, Stepped
from adapt.executors.patience import Patience, Watch

# The child looks for modules where this process does, and nowhere else (-P: not in the current folder either).
START = (
    "import importlib, json, pathlib, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "importlib.import_module(sys.argv[2]).main(int(sys.argv[3]), pathlib.Path(sys.argv[4]), *sys.argv[5:])"
)
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
VMSTAT = Path("/proc/vmstat")  # Linux alone has it


@dataclass(eq=False)
class ChildProcess:
    """A fresh interpreter, not a fork: torch's threads do not survive one, and nothing of this process leaks in."""

    process: subprocess.Popen[bytes]
    connection: Connection
    log: Path
    order: Order | None = None
    watch: Watch = field(default_factory=Watch)
    killed_for_memory: int = 0  # on this machine, when it was given its order

    @property
    def pid(self) -> int:
        return self.process.pid

    def give(self, order: Order) -> None:
        """Whether it is there to take it is found out by listening."""
        self.order = order
        self.killed_for_memory = killed_for_memory()
        self.watch = Watch()
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(order)

    def hear(self, patience: Patience) -> Done | Diverges | Failed | None:
        """The end of its order, if it has come to one. A child that died or hangs is dead when this returns."""
        try:
            while self.connection.poll():
                report: Report = self.connection.recv()
                self.watch.heard(stepped=isinstance(report, Stepped))
                if not isinstance(report, Beat | Stepped):
                    self.order = None
                    return report
        except (EOFError, OSError):
            return self._end()
        if (complaint := self.watch.complaint(patience)) is None:
            return None
        self.kill()
        return Failed(complaint)

    def kill(self) -> None:
        """Safe to call twice."""
        self.process.kill()
        self.process.wait()
        self.connection.close()
        self.order = None

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def _end(self) -> Failed:
        """Why it died."""
        self.kill()
        code = self.process.returncode
        if code == -signal.SIGKILL and killed_for_memory() > self.killed_for_memory:
            return Failed("its process was killed because the machine ran out of memory", out_of_memory=True)
        if code < 0:
            memory = "; perhaps it was out of memory" if code == -signal.SIGKILL else ""
            return Failed(f"its process was killed by {signal.Signals(-code).name}{memory}")
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return Failed(f"its process ended with exit code {code}" + (f": {lines[-1]}" if lines else ""))


def killed_for_memory() -> int:
    """How many processes the kernel has killed since it started because memory ran out; 0 where it does not count."""
    if not VMSTAT.exists():
        return 0
    counts = (line.split() for line in VMSTAT.read_text().splitlines())
    return next((int(count) for name, count in counts if name == "oom_kill"), 0)


def start_child(folder: Path, number: int) -> ChildProcess:
    """A child that serves the task in `folder`; what it writes to stderr goes to a file there."""
    started = start_program("adapt.executors.child", folder, f"child-{number}")
    return ChildProcess(process=started.process, connection=started.connection, log=started.log)


@dataclass(frozen=True)
class Started:
    process: subprocess.Popen[bytes]
    connection: Connection
    log: Path


def start_program(module: str, folder: Path, name: str, *arguments: str, leads_a_group: bool = False) -> Started:
    """`main(descriptor, folder, *arguments)` of `module` in a fresh interpreter, at the other end of a pipe."""
    ours, theirs = Pipe()
    log = folder / f"{name}.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-c", START, json.dumps(sys.path)),
                *(module, str(theirs.fileno()), str(folder), *arguments),
            ],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, **ONE_THREAD},
            start_new_session=leads_a_group,
        )
    theirs.close()
    return Started(process, ours, log)
