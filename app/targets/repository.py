"""The only SQL about targets. Their measured entries: app/targets/lookup.py. Never commits."""

from dataclasses import replace
from typing import Any, cast

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.orm import Session

from adapt.latency.conditions import Conditions
from adapt.latency.runtimes.choice import Precision, RuntimeChoice
from adapt.latency.table import LookupTable
from app.database import database_now
from app.newest_first import Position, behind
from app.ownership import seen_by
from app.paging import Page, cut_page, newest_first
from app.problem_documents import problem_document
from app.records import SYSTEM_OWNER, Caller, TargetKind, new_id
from app.tables import JobRow, TargetRow, TaskRow
from app.targets.lookup import LookupRepository, fingerprint
from app.targets.presence import is_present
from app.targets.records import Target, TargetInUse, TargetNotFound
from app.tasks.queue import TaskQueue

TARGET_CHECK_TASK = "target-check"


class TargetRepository:
    """Targets of the caller, and `local`; of somebody else's it says that there are none."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find_target(self, caller: Caller, target_id: str) -> Target | None:
        row = self._session.scalar(select(TargetRow).where(TargetRow.id == target_id, seen_by(caller, TargetRow.owner)))
        return None if row is None else self._shown(row)

    def get_target(self, caller: Caller, target_id: str) -> Target:
        """Raises TargetNotFound."""
        if (target := self.find_target(caller, target_id)) is None:
            raise TargetNotFound(target_id)
        return target

    def list_targets(self, caller: Caller, *, after: Position | None, limit: int) -> Page[Target]:
        """Newest first."""
        rows = select(TargetRow).where(
            seen_by(caller, TargetRow.owner), behind(TargetRow.created_at, TargetRow.id, after)
        )
        rows = rows.order_by(TargetRow.created_at.desc(), TargetRow.id.desc()).limit(limit + 1)
        found = [self._shown(row) for row in self._session.scalars(rows)]
        return cut_page(found, limit, lambda target: newest_first(target.created_at, target.id))

    def add_table_target(self, caller: Caller, name: str, table: LookupTable) -> Target:
        """A fixed table without a clock: its entries never change."""
        conditions = table.conditions
        row = self._add(
            caller,
            name=name,
            kind="table",
            runtime=conditions.runtime,
            provider=conditions.provider,
            provider_options=dict(conditions.provider_options) or None,
            threads=conditions.threads,
            batch=conditions.batch,
            precision=conditions.precision,
            fingerprint=fingerprint(conditions),
            state="ready",
        )
        LookupRepository(self._session).store_fixed(row.id, table)
        return _record(row)

    def add_local_target(self, caller: Caller, name: str, choice: RuntimeChoice) -> Target:
        """In state `checking`: a worker finds out whether its machine can run that."""
        row = self._add(
            caller,
            name=name,
            kind="local",
            runtime=choice.runtime,
            provider=choice.provider,
            provider_options=dict(choice.provider_options) or None,
            threads=choice.threads,
            batch=choice.batch,
            precision=choice.precision,
            fingerprint=None,
            state="checking",
        )
        return _record(row)

    def finish_check(self, target_id: str, conditions: Conditions) -> None:
        """For the worker that tried it (its fence is checked in the same transaction): jobs may measure on it."""
        values = {"state": "ready", "error": None, "fingerprint": fingerprint(conditions)}
        self._update(TargetRow.id == target_id, **values, last_seen_at=database_now(self._session))

    def refuse(self, target_id: str, problem: dict[str, Any]) -> None:
        """For the worker: it cannot measure so; `problem` is the document that `Target.error` shows."""
        self._update(TargetRow.id == target_id, state="refused", error=problem)

    def refuse_abandoned(self) -> None:
        """For a worker: targets whose check was given up are refused; jobs would wait for ever."""
        given_up = select(TaskRow.key).where(TaskRow.kind == TARGET_CHECK_TASK, TaskRow.state == "failed")
        problem = problem_document(
            "check-failed", "Check failed", 422, "trying this target ended every worker that did so"
        )
        self._update(and_(TargetRow.state == "checking", TargetRow.id.in_(given_up)), state="refused", error=problem)

    def _add(self, caller: Caller, **values: Any) -> TargetRow:
        row = TargetRow(
            id=new_id("tgt"),
            owner=caller.id,
            error=None,
            document=None,
            last_seen_at=None,
            created_at=database_now(self._session),
            **values,
        )
        self._session.add(row)
        self._session.flush()
        return row

    def _update(self, which: ColumnElement[bool], **values: Any) -> None:
        changed = update(TargetRow).where(which).values(values)
        self._session.execute(changed.execution_options(synchronize_session=False))

    def delete_target(self, caller: Caller, target_id: str) -> None:
        """With what was measured on it. Raises TargetNotFound; TargetInUse for `local`, and while a job, running or
        over, points at it."""
        target = self.get_target(caller, target_id)
        if target.owner == SYSTEM_OWNER:
            raise TargetInUse(target_id, None)
        self._session.execute(select(TargetRow.id).where(TargetRow.id == target_id).with_for_update())
        job_id = self._session.scalar(select(JobRow.id).where(JobRow.target_id == target_id).limit(1))
        if job_id is not None:
            raise TargetInUse(target_id, job_id)
        self._session.execute(delete(TargetRow).where(TargetRow.id == target_id))
        TaskQueue(self._session).forget_about("target", target_id)

    def _shown(self, row: TargetRow) -> Target:
        """As it is now: an agent that was not heard of lately is away."""
        target = _record(row)
        if target.kind != "agent" or is_present(target.last_seen_at, database_now(self._session)):
            return target
        return replace(target, state="away")


def _record(row: TargetRow) -> Target:
    return Target(
        id=row.id,
        owner=row.owner,
        name=row.name,
        kind=cast(TargetKind, row.kind),  # a CHECK of the table allows no other
        runtime=row.runtime,
        provider=row.provider,
        provider_options=row.provider_options or {},
        threads=row.threads,
        batch=row.batch,
        precision=cast(Precision, row.precision),
        fingerprint=row.fingerprint,
        state=row.state,
        error=row.error,
        last_seen_at=row.last_seen_at,
        created_at=row.created_at,
    )
