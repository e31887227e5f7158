"""What a device's agent does with the readings that are asked of it: takes the oldest, says that it is still at it, and
answers. The leases and fences are those of all tasks. Never commits.
"""

from datetime import datetime, timedelta

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from adapt.latency.reading import Plan, Reading
from app.agent.orders import LANE
from app.agent.records import Agent, HeldOrder, NotHeld, ReadingOrder, ReadingTaskNotFound
from app.database import database_now
from app.leases import abandoned
from app.problem_documents import problem_document
from app.records import Caller
from app.tables import TargetRow, TaskRow
from app.targets.presence import AWAY_S
from app.tasks.queue import MAX_ATTEMPTS, UNANSWERED, TaskQueue, let_go
from app.tasks.records import ClaimedTask

RENEWED_S = AWAY_S
"""How long an agent that says that it is at work may be silent about it."""
RENEWABLE = 3.0  # times the lease of one that does not: nobody is at work on one reading for ever
MAX_HAND_OUTS = (
    10  # an agent that asks for work has let go of what it held; it may be killed, or lose answers, so often
)


def silent_lease_s(plan: Plan) -> float:
    """Of an agent that says nothing meanwhile: a slow device loads and warms up for longer than it measures."""
    return 60.0 + 20.0 * (plan.maximum_s + plan.profile_s)


class Holding:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._tasks = TaskQueue(session)

    def take_back(self, target_id: str) -> None:
        """Whoever asks for work has none: what its target held is free again."""
        now = database_now(self._session)
        held = and_(TaskRow.lane == LANE, TaskRow.target_id == target_id, TaskRow.state == "running")
        unanswered = and_(TaskRow.attempts >= MAX_ATTEMPTS, abandoned(TaskRow, now))
        spent = update(TaskRow).where(held, or_(unanswered, TaskRow.attempts >= MAX_HAND_OUTS))
        self._session.execute(spent.values(error=UNANSWERED, **let_go("failed", now)))
        self._session.execute(update(TaskRow).where(held).values(let_go("queued", None)))

    def has_work(self, target_id: str) -> bool:
        return self._tasks.has_work(LANE, target_id)

    def hand_out(self, target_id: str, agent: Agent) -> HeldOrder | None:
        """The oldest order of this target. One that was never answered after several leases fails."""
        claimed = self._tasks.claim_next_task(agent.instance, lane=LANE, lease_s=RENEWED_S, target_id=target_id)
        if claimed is None:
            return None
        order, lease_s = ReadingOrder.from_payload(claimed.payload), RENEWED_S
        if not agent.renews:
            lease_s = silent_lease_s(order.plan)
            self._tasks.renew_lease(claimed, lease_s)
        return HeldOrder(task_id=claimed.id, lease=claimed.fence, lease_s=lease_s, order=order)

    def renew(self, caller: Caller, task_id: str, lease: int) -> tuple[str, str]:
        """For an agent that is at work, and will say so again; its target and instance. Raises as `get_held`."""
        row = self._held(caller, task_id, lease)
        order = ReadingOrder.from_payload(row.payload)
        now = database_now(self._session)
        last = (row.started_at or now) + timedelta(seconds=RENEWABLE * silent_lease_s(order.plan))
        row.lease_expires_at = min(now + timedelta(seconds=RENEWED_S), last)
        return str(row.target_id), str(row.lease_owner)

    def get_held(self, caller: Caller, task_id: str, lease: int) -> tuple[str, ReadingOrder]:
        """The target and the order that the agent holds. Raises ReadingTaskNotFound, NotHeld."""
        row = self._held(caller, task_id, lease)
        return str(row.target_id), ReadingOrder.from_payload(row.payload)

    def answer(self, caller: Caller, task_id: str, lease: int, reading: Reading) -> None:
        """Raises as `get_held`."""
        self._tasks.finish_task(_claimed(self._held(caller, task_id, lease)), result=reading.to_document())

    def fail(self, caller: Caller, task_id: str, lease: int, why: str) -> None:
        """The device cannot measure this. Raises as `get_held`."""
        error = problem_document("measurement-failed", "Measurement failed", 500, why)
        self._tasks.finish_task(_claimed(self._held(caller, task_id, lease)), error=error)

    def _held(self, caller: Caller, task_id: str, lease: int) -> TaskRow:
        """Its row, locked."""
        theirs = select(TargetRow.id).where(TargetRow.owner == caller.id)
        wanted = select(TaskRow).where(TaskRow.id == task_id, TaskRow.lane == LANE, TaskRow.target_id.in_(theirs))
        row = self._session.scalar(wanted.with_for_update().execution_options(populate_existing=True))
        if row is None:
            raise ReadingTaskNotFound(task_id)
        if row.fence == lease and row.state in {"succeeded", "failed"}:
            raise NotHeld(task_id, "it was answered already")
        if row.fence != lease or row.state != "running" or _is_over(row, database_now(self._session)):
            raise NotHeld(task_id, f"lease {lease} has ended")
        return row


def _is_over(row: TaskRow, now: datetime) -> bool:
    return row.lease_expires_at is not None and row.lease_expires_at < now


def _claimed(row: TaskRow) -> ClaimedTask:
    return ClaimedTask(id=row.id, owner=row.owner, kind=row.kind, payload=row.payload, fence=row.fence)
