"""A Ray cluster of two nodes on this machine, as `ray start` makes them, for tests that disturb it."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ray.util import get_node_ip_address

from tests.processes import descendants

TRAINS = "ray::evaluate_in_ray"


class Node:
    """`ray start --block` and all that it started, in a group of processes of their own."""

    def __init__(self, *arguments: str) -> None:
        command = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--disable-usage-stats", *arguments]
        self._process = subprocess.Popen(
            [*command, "--num-cpus=1", "--object-store-memory=100000000"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def training_pids(self) -> list[int]:
        return [pid for pid, title in descendants(self._process.pid) if title.startswith(TRAINS)]

    def kill(self) -> None:
        """At once and whole, as when its plug is pulled. Safe to call twice."""
        pids = [pid for pid, _title in descendants(self._process.pid)]
        for pid in [self._process.pid, *pids]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()


class RayNodes:
    """`address` is the head's, which has one processor; `second` is a node with another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.create_server(("", 0)) as free:
            port = free.getsockname()[1]
        self.address = f"{get_node_ip_address()}:{port}"
        self.head = Node("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}")
        self.second = Node(f"--address={self.address}", f"--temp-dir={folder}")

    def training_pids(self) -> list[int]:
        return [*self.head.training_pids(), *self.second.training_pids()]

    def close(self) -> None:
        self.second.kill()
        self.head.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def ray_nodes() -> Iterator[RayNodes]:
    """Only who has its token can use it: that is in this process's environment as long as the block lasts."""
    before = dict(os.environ)
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    nodes = RayNodes(Path(tempfile.mkdtemp(prefix="netadapt-ray-", dir="/tmp")))  # its sockets take short paths only
    try:
        yield nodes
    finally:
        nodes.close()
        os.environ.clear()
        os.environ.update(before)
