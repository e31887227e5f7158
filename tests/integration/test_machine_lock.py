"""The machine's measure-or-train lock, with real processes: who is in excludes whom, whatever dies."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapt.errors import Stopped
from adapt.latency.machine_lock import MachineLock, TrainingHold, default_directory

TRAINER = """
import sys
from pathlib import Path
from adapt.latency.machine_lock import MachineLock
with MachineLock(Path(sys.argv[1])).training() as hold:
    print("in", flush=True)
    while True:
        hold.pause_point()
"""
STUBBORN = """
import sys
from pathlib import Path
from adapt.latency.machine_lock import MachineLock
lock = MachineLock(Path(sys.argv[1]))
with getattr(lock, sys.argv[2])():
    print("in", flush=True)
    sys.stdin.read()
print("out", flush=True)
"""


class Processes:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[str]] = []

    def start(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(self.folder), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        return process

    def enter(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        process = self.start(script, *arguments)
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        return process


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    started = Processes(tmp_path)
    yield started
    for process in started.running:
        process.kill()
        process.communicate()


def train_for_ever(hold: TrainingHold) -> None:
    while True:
        hold.pause_point()


def cannot_enter(lock: MachineLock, how: str) -> bool:
    try:
        with getattr(lock, how)(lambda: True):
            return False
    except Stopped:
        return True


def test_trainers_share_and_measurers_do_not(processes: Processes, tmp_path: Path) -> None:
    lock = MachineLock(tmp_path)
    processes.enter(STUBBORN, "training")
    processes.enter(STUBBORN, "training")
    assert not cannot_enter(lock, "training")
    assert cannot_enter(lock, "measuring")


def test_nobody_comes_in_while_somebody_measures(processes: Processes, tmp_path: Path) -> None:
    lock = MachineLock(tmp_path)
    measurer = processes.enter(STUBBORN, "measuring")
    assert cannot_enter(lock, "training")
    assert cannot_enter(lock, "measuring")
    measurer.communicate("")
    assert not cannot_enter(lock, "measuring")


def test_a_measurer_gets_its_turn_among_busy_trainers(processes: Processes, tmp_path: Path) -> None:
    for _ in range(3):
        processes.enter(TRAINER)
    for _ in range(2):
        with MachineLock(tmp_path).measuring():
            assert cannot_enter(MachineLock(tmp_path), "training")


@pytest.mark.parametrize("how", ["training", "measuring"])
def test_a_killed_process_lets_go(processes: Processes, tmp_path: Path, how: str) -> None:
    holder = processes.enter(STUBBORN, how)
    holder.kill()
    holder.wait()
    with MachineLock(tmp_path).measuring():
        pass


def test_a_waiting_measurer_keeps_new_trainers_out(processes: Processes, tmp_path: Path) -> None:
    holder = processes.enter(STUBBORN, "training")
    lock = MachineLock(tmp_path)
    waiting, give_up = threading.Event(), threading.Event()

    def measure() -> None:
        def stop() -> bool:
            waiting.set()  # asked only by those who wait
            return give_up.is_set()

        with pytest.raises(Stopped), lock.measuring(stop):
            pass

    thread = threading.Thread(target=measure)
    thread.start()
    waiting.wait()
    assert cannot_enter(lock, "training")
    give_up.set()
    thread.join()
    assert not cannot_enter(lock, "training")
    assert holder.poll() is None


def test_threads_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    lock = MachineLock(tmp_path)
    outcome: list[bool] = []
    with lock.training():
        thread = threading.Thread(target=lambda: outcome.append(cannot_enter(lock, "measuring")))
        thread.start()
        thread.join()
    assert outcome == [True]


def test_a_thread_that_would_wait_for_itself_is_told(tmp_path: Path) -> None:
    lock = MachineLock(tmp_path)
    with lock.training(), pytest.raises(RuntimeError, match="wait for itself"), lock.measuring():
        pass
    with lock.measuring():
        pass


def test_a_trainer_that_is_stopped_at_a_pause_point_holds_nothing(processes: Processes, tmp_path: Path) -> None:
    with MachineLock(tmp_path).training(lambda: True) as hold:
        waiter = processes.start(STUBBORN, "measuring")
        with pytest.raises(Stopped):
            train_for_ever(hold)
        assert waiter.stdout is not None
        assert waiter.stdout.readline() == "in\n"


def test_an_error_inside_lets_go(tmp_path: Path) -> None:
    lock = MachineLock(tmp_path)
    with pytest.raises(KeyError), lock.training():
        raise KeyError
    with lock.measuring():
        pass


def test_the_default_folder_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = default_directory()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert default_directory() == folder
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="does not belong"):
        default_directory()
