"""Readings that are asked of a device: tasks of the lane "device". Whoever waits for one asks, looks and forgets here.

What the device's agent does with them: app/agent/holding.py. Never commits.
"""

import hashlib
import json
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from app.agent.records import ReadingOrder
from app.database import database_now
from app.leases import held
from app.records import LAST_STATES, TaskLane
from app.tables import JobRow, TaskRow
from app.tasks.queue import TaskQueue
from app.tasks.records import Task

KIND = "reading"
LANE: TaskLane = "device"
ORPHANED_S = 3600.0
_OPEN: ColumnElement[bool] = TaskRow.state.in_(("queued", "running"))


def order_key(order: ReadingOrder) -> str:
    """The same question of the same asker has the same key."""
    asked = json.dumps([order.candidate, order.reference, order.plan.to_document()])
    return f"{order.asker}/{hashlib.sha256(asked.encode()).hexdigest()[:32]}"


class OrderBook:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._tasks = TaskQueue(session)

    def ask(self, owner: str, target_id: str, order: ReadingOrder) -> Task:
        """The open task of this order, or a new one."""
        payload = order.to_payload()
        return self._tasks.enqueue_task(owner, KIND, order_key(order), payload, lane=LANE, target_id=target_id)

    def find(self, order: ReadingOrder) -> Task | None:
        """The newest task of this order: one that was answered before its asker could record that is not lost."""
        return self._tasks.find_latest(KIND, order_key(order))

    def find_task(self, task_id: str) -> Task | None:
        """None once it was withdrawn."""
        return self._tasks.find_task(task_id)

    def is_held(self, target_id: str) -> bool:
        """Whether the target's agent has work in its hands."""
        theirs = select(TaskRow.id).where(TaskRow.target_id == target_id, held(TaskRow, database_now(self._session)))
        return self._session.scalar(theirs.limit(1)) is not None

    def withdraw(self, task_id: str) -> None:
        """Nobody waits for it any more. An answer that is there stays."""
        self._session.execute(delete(TaskRow).where(TaskRow.id == task_id, _OPEN))

    def forget_answered(self, asker: str) -> None:
        """What the asker has recorded is not needed here any more."""
        mine = TaskRow.key.startswith(f"{asker}/", autoescape=True)
        self._session.execute(delete(TaskRow).where(TaskRow.kind == KIND, mine, ~_OPEN))

    def forget_orphans(self) -> None:
        """For housekeeping: orders of jobs and tasks that are over, or of a worker that was killed meanwhile."""
        asker = TaskRow.payload["asker"].as_string()
        old = TaskRow.created_at < database_now(self._session) - timedelta(seconds=ORPHANED_S)
        over = asker.not_in(select(JobRow.id).where(JobRow.state.not_in(LAST_STATES)))
        self._session.execute(delete(TaskRow).where(TaskRow.kind == KIND, old, over))
