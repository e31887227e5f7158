"""A Ray cluster of two nodes on this machine, as `ray start` makes them, for tests that disturb it. Ray itself is never
imported here: whoever does has other records in his log."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

from tests.processes import descendants, wait_until_gone

TRAINS = "ray::evaluate_in_ray"
HOST = "127.0.0.1"
STARTED = "Ray runtime started."
# A node that is gone refuses connections, and is given up after five of these; one that is slow has time to answer.
PATIENT = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "120000",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_gcs_server_port_wait_time_s": "300",
    "RAY_worker_niceness": "0",
}


class Node:
    """`ray start --block` and all that it started. Serves when this returns; raises RuntimeError with what Ray said."""

    def __init__(self, *arguments: str) -> None:
        command = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--disable-usage-stats", *arguments]
        self._process = subprocess.Popen(
            [*command, f"--node-ip-address={HOST}", "--num-cpus=1", "--object-store-memory=100000000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **PATIENT, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if STARTED in line:
                return
        self.kill()
        raise RuntimeError("".join(said))

    def training_pids(self) -> list[int]:
        return [pid for pid, title in descendants(self._process.pid) if title.startswith(TRAINS)]

    def kill(self) -> None:
        """At once and whole, as when its plug is pulled. Safe to call twice."""
        pids = [self._process.pid, *(pid for pid, _title in descendants(self._process.pid))]
        if self._process.returncode is None:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.communicate()
            wait_until_gone(pids)


def started(*arguments: str) -> Node:
    """Ray gives a node 30 s to register, by a constant of its own, which a busy machine may need twice."""
    for _again in range(2):
        try:
            return Node(*arguments)
        except RuntimeError:
            continue
    return Node(*arguments)


class RayNodes:
    """`address` is the head's, which has one processor; `second` is a node with another."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server((HOST, 0)) as free:
            port = free.getsockname()[1]
        self.address = f"{HOST}:{port}"
        self.head = started("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}")
        try:
            self.second = started(f"--address={self.address}", f"--temp-dir={folder}", "--include-log-monitor=false")
        except BaseException:
            self.head.kill()
            raise

    def training_pids(self) -> list[int]:
        return [*self.head.training_pids(), *self.second.training_pids()]

    def close(self) -> None:
        self.second.kill()
        self.head.kill()


@contextmanager
def ray_nodes() -> Iterator[RayNodes]:
    """Only who has its token can use it: that is in this process's environment as long as the block lasts."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with (
        patch.dict(os.environ, token),
        # Its sockets take short paths only; what was killed may have written on.
        tempfile.TemporaryDirectory(prefix="netadapt-ray-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        closing(RayNodes(Path(folder))) as nodes,
    ):
        yield nodes
