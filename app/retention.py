"""What goes by its age: jobs, models and data sets where the operator says so, and rows that have run out.

Each thing goes as if its owner deleted it, in a transaction of its own, so that nobody waits long for the database.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from sqlalchemy import Select, exists, select
from sqlalchemy import delete as delete_from
from sqlalchemy.orm import Session, aliased

from app.blobs import delete_with_files
from app.database import Sessions, database_now, reading, unit_of_work
from app.datasets.records import DatasetInUse, DatasetNotFound
from app.datasets.repository import DatasetRepository
from app.idempotency import forget_old_keys
from app.jobs.errors import JobNotFound, WrongState
from app.jobs.repository import JobRepository
from app.models.records import ModelInUse, ModelNotFound
from app.models.repository import ModelRepository
from app.records import LAST_STATES, SYSTEM_OWNER, Caller
from app.storage import Storage
from app.tables import DatasetRow, JobRow, ModelRow, SessionRow, TaskRow

log = logging.getLogger(__name__)

AT_ONCE = 50
TASKS_KEPT = timedelta(days=1)
_CHANGED_MEANWHILE = (JobNotFound, WrongState, ModelNotFound, ModelInUse, DatasetNotFound, DatasetInUse)
Ids = Select[str, str]
"""Of ids and their owners."""


class _Delete(Protocol):
    def __call__(self, session: Session, *, caller: Caller, id_: str) -> set[str]: ...


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """Things of a kind that are older than `days` (None: of any age they stay)."""

    name: str
    days: float | None
    older_than: Callable[[datetime], Ids]
    delete: _Delete


def remove_old(
    sessions: Sessions, storage: Storage, *, keep_jobs_days: float | None, keep_unused_days: float | None
) -> bool:
    """Removes some of what is older than that, AT_ONCE of a kind; False when there was nothing left to remove."""
    rules = (
        _Rule(
            name="jobs",
            days=keep_jobs_days,
            older_than=_jobs_over,
            delete=lambda session, caller, id_: JobRepository(session).delete_job(caller, id_),
        ),
        _Rule(
            name="models",
            days=keep_unused_days,
            older_than=_unused_models,
            delete=lambda session, caller, id_: ModelRepository(session).delete_model(caller, id_),
        ),
        _Rule(
            name="data sets",
            days=keep_unused_days,
            older_than=_unused_datasets,
            delete=lambda session, caller, id_: DatasetRepository(session).delete_dataset(caller, id_),
        ),
    )
    return sum(_apply(rule, rule.days, sessions, storage) for rule in rules if rule.days is not None) > 0


def forget_expired(sessions: Sessions) -> None:
    """Answers kept for an Idempotency-Key, sessions of browsers, and tasks that a later one of their kind replaced."""
    with unit_of_work(sessions) as session:
        now = database_now(session)
        forget_old_keys(session)
        session.execute(delete_from(SessionRow).where(SessionRow.expires_at < now))
        later = aliased(TaskRow)
        same = (later.kind == TaskRow.kind, later.key == TaskRow.key, later.created_at > TaskRow.created_at)
        over = TaskRow.state.in_(("succeeded", "failed"))
        replaced = delete_from(TaskRow).where(over, TaskRow.finished_at < now - TASKS_KEPT, exists().where(*same))
        session.execute(replaced.execution_options(synchronize_session=False))


def _apply(rule: _Rule, days: float, sessions: Sessions, storage: Storage) -> int:
    with reading(sessions) as session:
        since = database_now(session) - timedelta(days=days)
        found = session.execute(rule.older_than(since).limit(AT_ONCE)).all()
    gone = 0
    for id_, owner in found:
        delete = partial(rule.delete, caller=Caller(id=owner), id_=id_)
        with suppress(*_CHANGED_MEANWHILE):
            delete_with_files(sessions, storage, delete)
            gone += 1
    if gone:
        log.info("retention: %d %s older than %g days removed", gone, rule.name, days)
    return gone


def _jobs_over(since: datetime) -> Ids:
    following = aliased(JobRow)
    needed = exists().where(following.continues == JobRow.id, following.state.not_in(LAST_STATES))
    over = select(JobRow.id, JobRow.owner).where(JobRow.state.in_(LAST_STATES), JobRow.finished_at < since, ~needed)
    return over.order_by(JobRow.finished_at)


def _unused_models(since: datetime) -> Ids:
    used = exists().where(JobRow.model_id == ModelRow.id)
    old = (ModelRow.created_at < since, ModelRow.state != "checking", ModelRow.owner != SYSTEM_OWNER)
    return select(ModelRow.id, ModelRow.owner).where(*old, ~used).order_by(ModelRow.created_at)


def _unused_datasets(since: datetime) -> Ids:
    used = exists().where(JobRow.dataset_id == DatasetRow.id)
    old = (DatasetRow.created_at < since, DatasetRow.state != "checking", DatasetRow.owner != SYSTEM_OWNER)
    return select(DatasetRow.id, DatasetRow.owner).where(*old, ~used).order_by(DatasetRow.created_at)
