"""The service as an operator runs it on several processes: an API, and worker hosts that are started again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import httpx

START_S = 90.0  # a cold disk and two busy cores
END_S = 15.0
Role = Literal["api", "host", "lane", "child", "measuring"]
_COMMANDS: Mapping[Role, tuple[bytes, ...]] = {
    "lane": (b"workers", b"--lane", b"long"),
    "child": (b"adapt.executors.child",),
    "measuring": (b"adapt.latency.measuring_process",),
}


class ClusterDidNotStart(Exception):
    """The end of its log says why."""


@dataclass(frozen=True)
class Found:
    role: Role
    pid: int


class Cluster:
    """`netadapt serve --no-worker`, answering by so many `processes`, and `hosts` times `netadapt worker`, on one
    database and folder.

    `look_after` starts again what has ended, as systemd or a container's restart policy would. `settings` are further
    variables of the environment. The machine's lock is the cluster's own.
    """

    def __init__(
        self, folder: Path, database_url: str, *, hosts: int, settings: Mapping[str, str], processes: int = 1
    ) -> None:
        self.folder = folder
        self.port = _free_port()
        temporary = folder / "tmp"
        temporary.mkdir()
        self._environment = {
            **os.environ,
            "NETADAPT_DATA_DIR": str(folder / "data"),
            "NETADAPT_DATABASE_URL": database_url,
            "TMPDIR": str(temporary),
            "PYTHONUNBUFFERED": "1",
            **settings,
        }
        api = ["serve", "--no-worker", "--port", str(self.port), "--processes", str(processes)]
        self._commands = [api, *([["worker"]] * hosts)]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._log = (folder / "cluster.log").open("ab")

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        try:
            for command in self._commands:
                self._processes.append(self._start(command))
                if len(self._processes) == 1:
                    self._wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def look_after(self) -> None:
        for number, process in enumerate(self._processes):
            if process.poll() is not None:
                self._processes[number] = self._start(self._commands[number])

    def find(self) -> list[Found]:
        """The cluster's processes that live now."""
        api, *hosts = self._processes
        found = [Found("api", api.pid), *(Found("host", host.pid) for host in hosts)]
        return [each for each in found if _lives(each.pid)] + self._find_in_proc()

    def close(self) -> None:
        """In order; what is left after END_S, halted or hung, is killed, each by its own id."""
        for process in self._processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        end = time.monotonic() + END_S
        for process in self._processes:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes = []
        for pid in self._ours():
            os.kill(pid, signal.SIGKILL)
        self._log.close()

    def _start(self, command: list[str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "app.cli", *command],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=self._environment,
            start_new_session=True,
        )

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self._processes[0].poll() is not None:
                break
            try:
                if httpx.get(f"{self.address}/readyz", timeout=5, trust_env=False).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.2)
        raise ClusterDidNotStart((self.folder / "cluster.log").read_text(errors="replace")[-2000:])

    def _find_in_proc(self) -> list[Found]:
        found = []
        for pid in self._ours():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:  # it ended meanwhile
                continue
            found += [Found(role, pid) for role, words in _COMMANDS.items() if all(word in command for word in words)]
        return found

    def _ours(self) -> list[int]:
        """Whatever lives with this cluster's data folder in its environment."""
        mark = f"NETADAPT_DATA_DIR={self.folder / 'data'}\0".encode()
        pids = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    if mark in (entry / "environ").read_bytes():
                        pids.append(int(entry.name))
                except OSError:
                    continue
        return pids


def _lives(pid: int) -> bool:
    """Not one that has ended and waits to be asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
