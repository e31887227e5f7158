"""The program on a device: asks for a reading, takes it, answers, and asks for the next, whatever the network does.

Needs httpx, numpy and a runtime; no database, no torch. What it measures with has a process of its own.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from adapt.errors import MeasurementFailed, Stopped
from adapt.latency.device import Device
from adapt.latency.reading import Plan
from app.agent.calls import AgentCalls
from app.client.errors import (
    Conflict,
    Invalid,
    NetAdaptError,
    NotFound,
    ServiceFailed,
    ServiceUnreachable,
    TooManyRequests,
    UnexpectedAnswer,
)
from app.client.exchange import Json

RENEW_EVERY_S = 2.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
TRIES_FOR_A_NAME = 12
"""One a second: an agent that was killed has its name for some seconds more, and whoever takes its place waits."""
PASSES = (ServiceUnreachable, ServiceFailed, TooManyRequests, UnexpectedAnswer)
"""A service that restarts, a network that is away, a proxy in between that says something of its own."""
MOST_OF_A_REASON = 2000


class AgentProgram:
    """`open_calls` connects anew; `say` takes one line for whoever started this."""

    def __init__(
        self,
        open_calls: Callable[[], AgentCalls],
        introduction: Json,
        device: Device,
        say: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._open_calls, self._introduction, self._device, self._sleep = open_calls, introduction, device, sleep
        self._link, self._signs = _Link(say), _SignsOfLife(open_calls)
        self._files: dict[str, bytes] = {}  # the reference of the last reading: it stays the same for a whole job

    def run(self) -> None:
        """Until it is interrupted. Raises a NetAdaptError for what does not pass: a token that is not valid, a name
        that another agent has."""
        with self._open_calls() as calls:
            task = self._lasting(partial(self._claim, calls, wait_s=0))
            self._link.say_started()
            while True:
                if task is not None:
                    with suppress(Conflict, NotFound, Stopped):  # it is not ours any more
                        self._lasting(partial(self._take, calls, task))
                task = self._lasting(partial(self._claim, calls))

    def _lasting(self, step: Callable[[], Any]) -> Any:
        """The outcome of `step`, which is tried until the service has answered."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                outcome = step()
            except PASSES as error:
                self._link.note_lost(error)
                self._sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                self._link.note_back()
                return outcome

    def _claim(self, calls: AgentCalls, **wait: int) -> Json | None:
        """Raises Conflict when the name is another's, and stays so."""
        for _ in range(TRIES_FOR_A_NAME):
            try:
                return calls.claim(self._introduction, **wait)
            except Conflict as error:
                if not error.type.endswith(":name-taken"):
                    raise
            self._sleep(1.0)
        return calls.claim(self._introduction, **wait)

    def _take(self, calls: AgentCalls, task: Json) -> None:
        """Raises Conflict, NotFound or Stopped once the task is not ours any more."""
        with self._signs.of(task) as lost:
            document = self._measure(calls, task, lost)
            try:
                self._lasting(partial(calls.answer, task, document))
            except Invalid as error:
                why = f"the service refused what was measured: {error}"
                self._lasting(partial(calls.answer, task, _failed(why)))

    def _measure(self, calls: AgentCalls, task: Json, lost: threading.Event) -> dict[str, Any]:
        candidate, reference = self._fetch(calls, task["candidate"]), self._fetch(calls, task["reference"])
        self._files = {task["reference"]["sha256"]: reference}
        try:
            return self._device.read(candidate, reference, Plan.from_document(task["plan"]), lost.is_set).to_document()
        except MeasurementFailed as error:
            return _failed(str(error))

    def _fetch(self, calls: AgentCalls, file: Json) -> bytes:
        known = self._files.get(file["sha256"])
        return calls.fetch(file) if known is None else known


class _SignsOfLife:
    """Says every few seconds that a task is still worked at, from a thread with a connection of its own."""

    def __init__(self, open_calls: Callable[[], AgentCalls]) -> None:
        self._open_calls = open_calls
        self._held: tuple[Json, threading.Event] | None = None
        self._thread = threading.Thread(target=self._give, name="signs of life", daemon=True)
        self._thread.start()

    @contextmanager
    def of(self, task: Json) -> Iterator[threading.Event]:
        """While the block lasts. The event is set when the service has taken the task back."""
        if not self._thread.is_alive():
            raise RuntimeError("the thread that gives signs of life has died; start the agent again")
        lost = threading.Event()
        self._held = (task, lost)
        try:
            yield lost
        finally:
            self._held = None

    def _give(self) -> None:
        with self._open_calls() as calls:
            while True:
                time.sleep(RENEW_EVERY_S)
                if (held := self._held) is None:
                    continue
                task, lost = held
                try:
                    calls.renew(task)
                except PASSES:
                    continue  # the answer, or the next question for work, will find out
                except NetAdaptError:
                    lost.set()


class _Link:
    """One line when the service is lost, one when it is back."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lost = False

    def say_started(self) -> None:
        self._say("ready to measure; Ctrl-C ends it")

    def note_lost(self, error: NetAdaptError) -> None:
        if not self._lost:
            self._lost = True
            self._say(f"the service is lost, trying again: {error}")

    def note_back(self) -> None:
        if self._lost:
            self._lost = False
            self._say("the service is back")


def _failed(why: str) -> dict[str, Any]:
    return {"failed": why[:MOST_OF_A_REASON]}
