"""The supervisor against real processes: what dies is started again, nothing outlives it, Ctrl-C ends it quietly."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app.cli.supervision import Supervisor, child_environment
from app.heartbeat import WatchedProcess

LIVES_ON = "import os, sys, signal; open(sys.argv[1], 'w').write(str(os.getpid())); signal.pause()"
BEATS = f"from app.heartbeat import beat_for_parent; beat_for_parent(); {LIVES_ON}"


class Fifo:
    """A worker's first sign of life, waited for without a clock: opening blocks until it writes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "started"
        os.mkfifo(self.path)

    def read(self) -> int:
        return int(self.path.read_text())


def lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_that_is_killed_is_started_again_and_ends_with_us(tmp_path: Path) -> None:
    fifo = Fifo(tmp_path)
    command = [sys.executable, "-c", LIVES_ON, str(fifo.path)]
    supervisor = Supervisor("the worker", command, lambda: None, silent_s=60, pause_s=0.01)
    supervisor.start()
    try:
        first = fifo.read()
        os.kill(first, 9)
        second = fifo.read()
        assert second != first
    finally:
        supervisor.stop()
    assert not lives(first)
    assert not lives(second)


def test_a_worker_that_is_halted_is_killed_and_started_again(tmp_path: Path) -> None:
    fifo = Fifo(tmp_path)
    command = [sys.executable, "-c", BEATS, str(fifo.path)]
    supervisor = Supervisor("the worker", command, lambda: None, silent_s=3, pause_s=0.01)
    supervisor.start()
    try:
        first = fifo.read()
        os.kill(first, signal.SIGSTOP)
        assert fifo.read() != first
        assert not lives(first)
    finally:
        supervisor.stop()


@pytest.mark.parametrize("when", ["at once", "later"])
def test_ctrl_c_ends_a_process_that_begins_without_a_traceback(when: str, capfd: pytest.CaptureFixture[str]) -> None:
    beat = "from app.heartbeat import beat_for_parent; beat_for_parent()"
    hit = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    child = WatchedProcess([sys.executable, "-c", f"{hit}; {beat}" if when == "at once" else f"{beat}; {hit}"])
    assert child.wait(60)
    child.close()
    assert child.process.returncode == -signal.SIGINT
    assert capfd.readouterr().err == ""
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])  # we hear it still


CTRL_C_AT_TYPER = """
import os, signal, sys, types
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background of a script has it ignored
at_typer = lambda name, *_: os.kill(os.getpid(), signal.SIGINT) if name == "typer" else None
sys.meta_path.insert(0, types.SimpleNamespace(find_spec=at_typer))
from app.cli.__main__ import main
main()
"""


def test_ctrl_c_while_the_command_line_begins_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert subprocess.run([sys.executable, "-c", CTRL_C_AT_TYPER], check=False, timeout=60).returncode == 1
    assert capfd.readouterr().err == "netadapt: interrupted\n"


def test_a_supervision_that_fails_says_so() -> None:
    told = threading.Event()
    supervisor = Supervisor("the worker", ["/nowhere/at/all"], told.set, silent_s=60)
    supervisor.start()
    assert told.wait(30)
    supervisor.stop()


def test_the_worker_imports_our_packages_whatever_folder_it_runs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    environment = child_environment()
    assert environment["PYTHONSAFEPATH"] == "1"
    root, *others = environment["PYTHONPATH"].split(os.pathsep)
    assert (Path(root) / "workers").is_dir()
    assert others == ["/somewhere"]
