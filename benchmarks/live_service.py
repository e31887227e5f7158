"""`netadapt serve` as a real process on a free port and a data folder of its own, and its end whatever happens."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.client import Client
from app.client.errors import NetAdaptError

ADDRESS = re.compile(r"NetAdapt at (http://\S+)")
START_S = 90.0  # a cold disk and two busy cores
END_S = 40.0
TAIL_LINES = 40


class ServiceDidNotStart(Exception):
    def __init__(self, why: str) -> None:
        super().__init__(why)


@contextmanager
def live_service(folder: Path) -> Iterator[str]:
    """The address of a running service whose data and log lie in `folder`; shows the log's end if the body fails."""
    with live_process(folder) as process:
        yield process.address


@dataclass(frozen=True, kw_only=True)
class LiveProcess:
    """`pid` is the API's; a worker beside it is its child."""

    address: str
    pid: int


@contextmanager
def live_process(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[LiveProcess]:
    """As `live_service`, with further arguments of `netadapt serve` and further variables."""
    log = folder / "service.log"
    command = [sys.executable, "-m", "app.cli", "serve", "--port", "0", "--data-dir", str(folder / "data"), *arguments]
    with log.open("wb") as stream:
        # A session of its own: Ctrl-C reaches us alone, and what is left at the end can be killed as one group.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        )
    try:
        yield LiveProcess(address=_address_when_ready(process, log), pid=process.pid)
    except Exception:
        print(f"--- the service's log, last {TAIL_LINES} lines ---", file=sys.stderr)
        print("\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:]), file=sys.stderr)
        raise
    finally:
        _end(process)


def _address_when_ready(process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServiceDidNotStart(f"netadapt serve ended with code {process.returncode}")
        if (found := ADDRESS.search(log.read_text(errors="replace"))) and _answers(found[1]):
            return found[1]
        time.sleep(0.2)
    raise ServiceDidNotStart(f"netadapt serve was not ready within {START_S:.0f} s")


def _answers(address: str) -> bool:
    with Client(address) as client:
        try:
            client.info()
        except NetAdaptError:
            return False
    return True


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        print("the service did not end by itself and is killed", file=sys.stderr)
    finally:
        if _group_lives(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
