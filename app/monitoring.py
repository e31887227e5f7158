"""The SQL behind /metrics, of every owner's work at once: counts and ages only. Reads, never writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from app.database import database_now
from app.leases import abandoned, held
from app.presence import ALIVE_S
from app.records import JobState, Lane, TaskLane
from app.tables import BlobRow, JobRow, TaskRow, WebhookDeliveryRow, WorkerRow
from app.webhooks.records import DeliveryState

_OPEN = ("queued", "running")
Counts = Mapping[tuple[str, ...], float]
"""Label values -> count; what there is none of is there as 0, or a graph would have holes."""


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """`jobs` by state; `queue` by lane and state; `oldest_s` by kind; `leases` by kind and held or expired; `workers`
    by lane; `deliveries` by state."""

    jobs: Counts
    queue: Counts
    oldest_s: Counts
    leases: Counts
    workers: Counts
    deliveries: Counts
    stored_bytes: int


def read_backlog(session: Session) -> Backlog:
    now = database_now(session)
    jobs: dict[tuple[str, ...], float] = {(state,): 0.0 for state in get_args(JobState)}
    for _, state, count in _by_lane_and_state(session, JobRow, get_args(Lane), get_args(JobState)):
        jobs[state,] += count
    queue: dict[tuple[str, ...], float] = {(lane, state): 0.0 for lane in get_args(TaskLane) for state in _OPEN}
    for table, lanes in ((JobRow, get_args(Lane)), (TaskRow, get_args(TaskLane))):
        for lane, state, count in _by_lane_and_state(session, table, lanes, _OPEN):
            queue[lane, state] += count
    by_state = select(WebhookDeliveryRow.state, func.count()).group_by(WebhookDeliveryRow.state)
    deliveries: dict[tuple[str, ...], float] = {(state,): 0.0 for state in get_args(DeliveryState)}
    deliveries |= {(state,): float(count) for state, count in session.execute(by_state)}
    seen = WorkerRow.seen_at > now - timedelta(seconds=ALIVE_S)
    workers = select(WorkerRow.lane, func.count()).where(seen).group_by(WorkerRow.lane)
    return Backlog(
        jobs=jobs,
        queue=queue,
        oldest_s={("job",): _oldest(session, JobRow, now), ("task",): _oldest(session, TaskRow, now)},
        leases=_leases(session, "job", JobRow, now) | _leases(session, "task", TaskRow, now),
        workers={(lane,): float(count) for lane, count in session.execute(workers)},
        deliveries=deliveries,
        stored_bytes=session.scalar(select(func.coalesce(func.sum(BlobRow.bytes), 0))) or 0,
    )


def _by_lane_and_state(
    session: Session, table: type[JobRow] | type[TaskRow], lanes: tuple[str, ...], states: tuple[str, ...]
) -> list[tuple[str, str, float]]:
    # Lane and state by name: so the index of the queue answers, and what is over is not even looked at.
    wanted = and_(table.lane.in_(lanes), table.state.in_(states))
    rows = select(table.lane, table.state, func.count()).where(wanted).group_by(table.lane, table.state)
    return [(lane, state, float(count)) for lane, state, count in session.execute(rows)]


def _oldest(session: Session, table: type[JobRow] | type[TaskRow], now: datetime) -> float:
    """Seconds; 0 when nothing waits."""
    waiting = and_(table.lane.in_(get_args(TaskLane)), table.state == "queued")
    since = session.scalar(select(func.min(table.created_at)).where(waiting))
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


def _leases(
    session: Session, kind: str, table: type[JobRow] | type[TaskRow], now: datetime
) -> dict[tuple[str, ...], float]:
    lanes = table.lane.in_(get_args(TaskLane))
    by_state = {"held": held(table, now), "expired": abandoned(table, now)}
    counts = {state: select(func.count()).where(lanes, where) for state, where in by_state.items()}
    return {(kind, state): float(session.scalars(count).one()) for state, count in counts.items()}
