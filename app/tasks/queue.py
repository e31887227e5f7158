"""The queue of short work: the same leases and fences as for jobs, but no events."""

from datetime import datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.orm import Session

from app.database import database_now, take_turns
from app.leases import LeaseLost, abandoned
from app.problem_documents import problem_document
from app.records import TaskLane, TaskState, new_id
from app.tables import TaskRow
from app.tasks.records import ClaimedTask, Task

MAX_ATTEMPTS = 3
_WORKERS_LOST = problem_document(
    "worker-lost", "Given up", 500, f"{MAX_ATTEMPTS} workers in a row died or were lost while they worked on this"
)
UNANSWERED = problem_document(
    "measurement-failed", "Measurement failed", 500, "the device was given this again and again, and never answered"
)


class TaskQueue:
    """Never commits."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def enqueue_task(
        self,
        owner: str,
        kind: str,
        key: str,
        payload: dict[str, Any],
        *,
        lane: TaskLane = "short",
        target_id: str | None = None,
    ) -> Task:
        """A new task, or the open one of this kind and key (two who ask for one profile get one).

        Tasks of the lane "device" are for one target's agent.
        """
        take_turns(self._session, "task", kind, key)
        open_ones = select(TaskRow).where(
            TaskRow.kind == kind, TaskRow.key == key, TaskRow.state.in_(("queued", "running"))
        )
        if (known := self._session.scalar(open_ones)) is not None:
            return _record(known)
        row = TaskRow(
            id=new_id("tsk"),
            owner=owner,
            kind=kind,
            key=key,
            lane=lane,
            state="queued",
            payload=payload,
            target_id=target_id,
            created_at=database_now(self._session),
        )
        self._session.add(row)
        self._session.flush()
        return _record(row)

    def find_task(self, task_id: str) -> Task | None:
        row = self._session.get(TaskRow, task_id)
        return None if row is None else _record(row)

    def find_latest(self, kind: str, key: str) -> Task | None:
        """The newest task of this kind and key, whatever its state; look at `state` and `result`."""
        row = self._session.scalar(
            select(TaskRow)
            .where(TaskRow.kind == kind, TaskRow.key == key)
            .order_by(TaskRow.created_at.desc(), TaskRow.id)
            .limit(1)
        )
        return None if row is None else _record(row)

    def has_work(self, lane: TaskLane, target_id: str | None = None) -> bool:
        """Whether a claim may find or settle anything; a look that locks nothing."""
        free = self._free(lane, target_id, database_now(self._session))
        return self._session.scalar(select(TaskRow.id).where(free).limit(1)) is not None

    def claim_next_task(
        self, worker_id: str, *, lane: TaskLane = "short", lease_s: float, target_id: str | None = None
    ) -> ClaimedTask | None:
        """The oldest task that is queued, or whose lease ran out, of all or of one target. One that killed MAX_ATTEMPTS
        workers fails."""
        now = database_now(self._session)
        self._give_up(lane, now)
        free = self._free(lane, target_id, now)
        oldest = select(TaskRow.id).where(free).order_by(TaskRow.created_at, TaskRow.id).limit(1)
        task_id = self._session.scalar(oldest.with_for_update(skip_locked=True))
        taken = update(TaskRow).where(TaskRow.id == task_id, free)
        row = self._session.scalar(
            taken.values(
                state="running",
                fence=TaskRow.fence + 1,
                lease_owner=worker_id,
                lease_expires_at=now + timedelta(seconds=lease_s),
                attempts=TaskRow.attempts + 1,
                started_at=now,
            )
            .returning(TaskRow)
            .execution_options(populate_existing=True)
        )
        if row is None:
            return None
        return ClaimedTask(id=row.id, owner=row.owner, kind=row.kind, payload=row.payload, fence=row.fence)

    def renew_lease(self, claimed: ClaimedTask, lease_s: float) -> None:
        """Raises LeaseLost."""
        self.hold(claimed, lease_expires_at=database_now(self._session) + timedelta(seconds=lease_s))

    def finish_task(
        self, claimed: ClaimedTask, *, result: dict[str, Any] | None = None, error: dict[str, Any] | None = None
    ) -> None:
        """Succeeded with `result`, or failed with the problem document `error`. Raises LeaseLost."""
        state: TaskState = "succeeded" if error is None else "failed"
        self.hold(claimed, result=result, error=error, **let_go(state, database_now(self._session)))

    def release(self, claimed: ClaimedTask) -> None:
        """Back to the queue, for a worker that shuts down in order. Raises LeaseLost."""
        self.hold(claimed, attempts=TaskRow.attempts - 1, **let_go("queued", None))

    def give_back(self, worker_id: str) -> None:
        """Back to the queue, whatever this worker holds; it holds nothing any more."""
        theirs = update(TaskRow).where(TaskRow.state == "running", TaskRow.lease_owner == worker_id)
        free = {"fence": TaskRow.fence + 1, "attempts": TaskRow.attempts - 1, **let_go("queued", None)}
        self._session.execute(theirs.values(free))

    def forget_about(self, subject: Literal["model", "dataset", "target"], id_: str) -> None:
        """Whatever its state: what it was about is deleted. A worker that has it finds its lease lost."""
        about = TaskRow.payload[subject].as_string() == id_
        self._session.execute(delete(TaskRow).where(about))

    def hold(self, claimed: ClaimedTask, **values: Any) -> None:
        """Writes `values` if the fence is still ours, and locks the row: whatever a worker writes for this task in
        the same transaction is written by its holder. Raises LeaseLost."""
        own = update(TaskRow).where(
            TaskRow.id == claimed.id, TaskRow.fence == claimed.fence, TaskRow.state == "running"
        )
        if self._session.execute(own.values({"fence": TaskRow.fence, **values}).returning(TaskRow.id)).first() is None:
            raise LeaseLost(claimed.id, claimed.fence)

    def _free(self, lane: TaskLane, target_id: str | None, now: datetime) -> ColumnElement[bool]:
        """Queued, or its lease ran out; of one target where one is named."""
        free = and_(TaskRow.lane == lane, or_(TaskRow.state == "queued", abandoned(TaskRow, now)))
        return free if target_id is None else and_(free, TaskRow.target_id == target_id)

    def _give_up(self, lane: TaskLane, now: datetime) -> None:
        crashing = and_(TaskRow.lane == lane, abandoned(TaskRow, now), TaskRow.attempts >= MAX_ATTEMPTS)
        error = UNANSWERED if lane == "device" else _WORKERS_LOST
        self._session.execute(update(TaskRow).where(crashing).values(error=error, **let_go("failed", now)))


def let_go(state: TaskState, finished_at: datetime | None) -> dict[str, Any]:
    """The values of a task that nobody holds any more."""
    return {"state": state, "lease_owner": None, "lease_expires_at": None, "finished_at": finished_at}


def _record(row: TaskRow) -> Task:
    return Task(
        id=row.id,
        owner=row.owner,
        kind=row.kind,
        key=row.key,
        lane=cast(TaskLane, row.lane),  # a CHECK of the table allows no other text
        state=cast(TaskState, row.state),
        payload=row.payload,
        result=row.result,
        error=row.error,
        attempts=row.attempts,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
