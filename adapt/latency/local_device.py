"""This machine as a device: measuring has a process of its own, which has the machine to itself while it measures.

Nothing of the worker (its threads, its heap, what torch set up) is then near a figure, and a runtime that crashes or
hangs takes nothing with it.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection, Pipe
from typing import Any, TypeVar

from adapt.errors import MeasurementFailed, Stopped
from adapt.latency.conditions import Conditions
from adapt.latency.machine_lock import MachineLock
from adapt.latency.reading import Plan, Reading, reading_from_document
from adapt.latency.runtimes.choice import NetworkFile, RuntimeChoice
from adapt.stop import Stop, never

T = TypeVar("T")
log = logging.getLogger(__name__)

# The child looks for modules where this process does, and nowhere else (-P: not in the current folder either).
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from adapt.latency.measuring_process import main; main(int(sys.argv[2]), sys.argv[3])"
)
_LOOK_S = 0.05
_READY_WITHIN_S = 120.0  # importing a runtime, torch's included, on a machine under load
_SLACK = 20.0  # warming up and profiling may take so many times the longest measurement
_END_WITHIN_S = 2.0
ATTEMPTS = 3  # at one reading, or at opening the runtime, when the process dies of it


class _Died(MeasurementFailed):
    """The process, or it hangs, which comes to the same."""


class LocalDevice:
    """Opens its process at the first question; `lock` is held exclusively for each reading."""

    def __init__(self, choice: RuntimeChoice, lock: MachineLock) -> None:
        self._choice, self._lock = choice, lock
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._conditions: Conditions | None = None
        self._reference = b""  # what the process has in its hands

    @property
    def file(self) -> NetworkFile:
        return self._choice.file

    @property
    def conditions(self) -> Conditions:
        if self._conditions is None:
            self._tried(lambda: self._start(never))
        assert self._conditions is not None  # `_start` sets it or raises
        return self._conditions

    def read(self, candidate: bytes, reference: bytes, plan: Plan, stop: Stop = never) -> Reading:
        """A process that dies meanwhile is replaced, and the reading taken again."""
        return self._tried(lambda: self._read(candidate, reference, plan, stop))

    def _tried(self, act: Callable[[], T]) -> T:
        for _ in range(ATTEMPTS - 1):
            try:
                return act()
            except _Died as error:
                log.warning("%s; that is done again", error)
        return act()

    def _read(self, candidate: bytes, reference: bytes, plan: Plan, stop: Stop) -> Reading:
        if self._connection is None:
            self._start(stop)
        with self._lock.measuring(stop):
            order = {"plan": plan.to_document(), "reference": reference != self._reference}
            files = [reference, candidate] if order["reference"] else [candidate]
            answer = self._ask(order, files, self._choice.loading_s + _SLACK * (plan.maximum_s + plan.profile_s), stop)
        self._reference = reference
        return reading_from_document(answer)

    @property
    def pid(self) -> int | None:
        """Of its process, once there is one."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()  # the process ends at the end of its input
            self._connection = None
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_WITHIN_S)
            self._process.kill()
            self._process.wait()
            self._process = None
        self._reference = b""

    def _start(self, stop: Stop) -> None:
        ours, theirs = Pipe()
        choice = json.dumps(asdict(self._choice))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, json.dumps(sys.path), str(theirs.fileno()), choice],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        theirs.close()
        self._connection = ours
        answer = self._hear(_READY_WITHIN_S, stop)
        self._conditions = Conditions(**answer["conditions"])

    def _ask(self, order: dict[str, Any], files: list[bytes], within_s: float, stop: Stop) -> dict[str, Any]:
        assert self._connection is not None
        with suppress(BrokenPipeError, ConnectionResetError):  # whether it is there is found out by listening
            self._connection.send_bytes(json.dumps(order).encode())
            for file in files:
                self._connection.send_bytes(file)
        return self._hear(within_s, stop)

    def _hear(self, within_s: float, stop: Stop) -> dict[str, Any]:
        """Its next answer. Whatever else happens, no half-done measurement is left running."""
        assert self._connection is not None
        end = time.monotonic() + within_s
        try:
            while not self._connection.poll(_LOOK_S):
                if stop():
                    raise Stopped("stopped while measuring")
                if time.monotonic() > end:
                    raise _Died(self._choice.runtime, f"its process gave no answer within {within_s:.0f} s")
            answer: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            raise _Died(self._choice.runtime, self._how_it_ended()) from None
        except BaseException:
            self._kill()
            raise
        if "failed" in answer:
            raise MeasurementFailed(*answer["failed"])
        return answer

    def _how_it_ended(self) -> str:
        code = self._kill()
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"its process ended in the middle of a measurement, {how}"

    def _kill(self) -> int:
        """Its exit code, negative for a signal's."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_LOOK_S)  # one that is ending says why
        self._process.kill()
        code = self._process.wait()
        self.close()
        return code
