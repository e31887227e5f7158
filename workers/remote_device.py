"""A device at the other end of a network: its agent fetches what is asked of it, and the answer is waited for here.

Files travel by the storage and questions by the database, so worker and agent need not know of each other.
"""

import hashlib
import time
from collections.abc import Callable

from adapt.errors import MeasurementFailed, Stopped
from adapt.latency.conditions import Conditions
from adapt.latency.reading import Plan, Reading, reading_from_document
from adapt.latency.runtimes.choice import NetworkFile
from adapt.stop import Stop, never
from app.agent.orders import OrderBook
from app.agent.presence import AgentRepository
from app.agent.records import ReadingOrder
from app.blobs import BlobRepository, discard
from app.database import reading, unit_of_work
from app.targets.presence import AWAY_S
from app.targets.records import Target
from app.tasks.records import Task
from workers.service import Service

LOOK_S = 0.1
TellAway = Callable[[bool], None]
"""Told when the device is away, and when it is back."""


def to_nobody(away: bool) -> None:
    """What is told to nobody."""


class DeviceAway(MeasurementFailed):
    """It was not heard of for longer than anybody here waits; what it answered so far is kept."""


class RemoteDevice:
    """`asker` is the job or task that the readings are for: under its id an answer is found again that came when the
    worker was gone already. Asks one thing at a time."""

    def __init__(self, target: Target, asker: str, service: Service, tell_away: TellAway = to_nobody) -> None:
        self._target, self._asker, self._service = target, asker, service
        self._presence = _Presence(target.name, service.settings.device_patience_s, tell_away)
        self._given: set[str] = set()  # tasks whose answers were handed out: asked once more, it is measured once more

    @property
    def file(self) -> NetworkFile:
        return self._target.choice.file

    @property
    def conditions(self) -> Conditions:
        with reading(self._service.sessions) as session:
            return AgentRepository(session).get_conditions(self._target.id)

    def read(self, candidate: bytes, reference: bytes, plan: Plan, stop: Stop = never) -> Reading:
        """Raises DeviceAway, MeasurementFailed, Stopped, LeaseLost; nothing is left with the device then."""
        order = ReadingOrder(asker=self._asker, candidate=_sha256(candidate), reference=_sha256(reference), plan=plan)
        if (known := self._answered_before(order)) is not None:
            return self._give(known)
        task = self._ask(order, candidate, reference)
        try:
            while (answered := self._wait(task, stop)) is None:  # a worker that lost this job meanwhile took it back
                task = self._ask(order, candidate, reference)
            return self._give(answered)
        except BaseException:
            with unit_of_work(self._service.sessions) as session:
                OrderBook(session).withdraw(task.id)
            raise
        finally:
            for sha256 in (order.candidate, order.reference):
                discard(self._service.sessions, self._service.storage, [sha256], written_before=task.created_at)

    def close(self) -> None:
        """Nothing of a reading outlives it."""

    def _give(self, answered: Task) -> Reading:
        self._given.add(answered.id)
        return reading_from_document(answered.result)

    def _answered_before(self, order: ReadingOrder) -> Task | None:
        """What a worker that is gone had asked and could not record; not if the device measures otherwise by now."""
        with reading(self._service.sessions) as session:
            task = OrderBook(session).find(order)
        if task is None or task.result is None or task.id in self._given:
            return None
        return task if reading_from_document(task.result).conditions == self.conditions else None

    def _ask(self, order: ReadingOrder, candidate: bytes, reference: bytes) -> Task:
        """Both files lie in the storage as long as this is open, the reference of the reading before, too: whoever
        else measured beside the same network may have removed it meanwhile, and a device may have been restarted."""
        stored = [self._service.storage.put(file) for file in (candidate, reference)]
        with self._service.writing() as session:
            for blob in stored:
                BlobRepository(session).add_blob(blob.sha256, blob.bytes)
            return OrderBook(session).ask(self._target.owner, self._target.id, order)

    def _wait(self, task: Task, stop: Stop) -> Task | None:
        """With its answer; None when the task is gone."""
        while True:
            if stop():
                raise Stopped("stopped while a device measures")
            with reading(self._service.sessions) as session:
                orders, agents = OrderBook(session), AgentRepository(session)
                found = orders.find_task(task.id)
                away = agents.unseen_s(self._target.id) > AWAY_S and not orders.is_held(self._target.id)
            if found is None:
                return None
            if found.result is not None:
                self._presence.note(away=False)
                return found
            if found.error is not None:
                raise MeasurementFailed(self._target.name, found.error["detail"])
            self._presence.note(away=away)
            time.sleep(LOOK_S)


class _Presence:
    """Tells of a device's going and coming, and gives up when it stays away. Not thread-safe."""

    def __init__(self, name: str, patience_s: float, tell: TellAway) -> None:
        self._name, self._patience_s, self._tell = name, patience_s, tell
        self._since: float | None = None

    def note(self, *, away: bool) -> None:
        """Raises DeviceAway."""
        if away and self._since is None:
            self._since = time.monotonic()
            self._tell(True)
        elif not away and self._since is not None:
            self._since = None
            self._tell(False)
        if self._since is not None and time.monotonic() - self._since >= self._patience_s:
            why = f"the device is away; start `netadapt agent --name {self._name}` there again"
            raise DeviceAway(self._name, why)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
