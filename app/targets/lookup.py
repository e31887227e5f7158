"""The only SQL about measured entries: the look-up tables of targets. Never commits.

An entry belongs to a target, to the conditions it was taken under, and to the model whose profile it comes from:
entries of another runtime version or processor are kept, but never mixed in.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, literal, select, tuple_, update
from sqlalchemy.orm import Session

from adapt.latency.conditions import Conditions
from adapt.latency.table import Entry, LookupTable, joined
from app.database import database_now
from app.ownership import seen_by
from app.records import Caller
from app.tables import LookupEntryRow, ModelRow, TargetRow
from app.targets.records import Target
from app.timestamps import rfc3339

_FIXED = "fixed"
"""conditions_key of a table target's entries."""


def fingerprint(conditions: Conditions) -> dict[str, Any]:
    """What `Target.fingerprint` shows: the conditions, and one short text that stands for them all."""
    return {"id": conditions.fingerprint(), **conditions.to_json()}


def current_conditions(session: Session, target_id: str) -> str | None:
    """Conditions.fingerprint() of those that the target measured under last."""
    known = session.scalar(select(TargetRow.fingerprint).where(TargetRow.id == target_id))
    return None if known is None else str(known["id"])


class LookupRepository:
    """Whoever calls has made sure that the target is the caller's to see."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def store_fixed(self, target_id: str, table: LookupTable) -> None:
        """The entries of a new `table` target."""
        self._insert(target_id, _FIXED, table)

    def store_profile(self, target_id: str, model_id: str, table: LookupTable) -> None:
        """For workers: what a profile of the model measured. Replaces what an earlier one under the same conditions
        found, and says on the target under which conditions it measures now."""
        key = _key(table.conditions.fingerprint(), model_id)
        old = delete(LookupEntryRow).where(LookupEntryRow.target_id == target_id, LookupEntryRow.conditions_key == key)
        self._session.execute(old)
        self._insert(target_id, key, table)
        self._session.execute(
            update(TargetRow).where(TargetRow.id == target_id).values(last_seen_at=database_now(self._session))
        )
        self.note_conditions(target_id, table.conditions)

    def note_conditions(self, target_id: str, conditions: Conditions) -> None:
        """For workers: what the target measures under now. What was found under others is not shown any more."""
        noted = update(TargetRow).where(TargetRow.id == target_id).values(fingerprint=fingerprint(conditions))
        self._session.execute(noted)

    def add_observed(self, target_id: str, model_id: str, conditions_id: str, observed: Sequence[Entry]) -> None:
        """For workers: what was measured of a pick joins the entries of the model's profile. Without one under these
        conditions there is nothing that it could be put right by, and it is left."""
        key = _key(conditions_id, model_id)
        known = self._tables(target_id, LookupEntryRow.conditions_key == key)
        if not known:
            return
        changed = {(entry.operator, entry.shape) for entry in observed}
        learned = known[0].with_entries(observed)
        new = tuple(entry for entry in learned.entries if (entry.operator, entry.shape) in changed)
        self._session.execute(
            delete(LookupEntryRow).where(
                LookupEntryRow.target_id == target_id,
                LookupEntryRow.conditions_key == key,
                tuple_(LookupEntryRow.operator, LookupEntryRow.shape_key).in_(sorted(changed)),
            )
        )
        self._insert(target_id, key, replace(learned, entries=new))

    def forget_model(self, model_id: str) -> None:
        """What profiles of the model found, on every target."""
        of_model = LookupEntryRow.conditions_key.endswith(f"/{model_id}", autoescape=True)
        self._session.execute(delete(LookupEntryRow).where(of_model))

    def find_table(
        self, target_id: str, model_id: str | None = None, conditions_id: str | None = None
    ) -> LookupTable | None:
        """A table target's table, or on other targets what was measured of the model under the conditions
        `conditions_id` (Conditions.fingerprint(); None: those that the target measured under last).

        Without a model: all of the target's entries under those conditions in one table. None when there are none.
        """
        fixed = self._tables(target_id, LookupEntryRow.conditions_key == _FIXED)
        if fixed:
            return fixed[0]
        current = conditions_id or current_conditions(self._session, target_id)
        if current is None:
            return None
        if model_id is not None:
            found = self._tables(target_id, LookupEntryRow.conditions_key == _key(current, model_id))
        else:
            found = self._tables(target_id, LookupEntryRow.conditions_key.startswith(f"{current}/", autoescape=True))
        return merge(found) if found else None

    def find_shown_table(self, caller: Caller, target: Target, model_id: str | None) -> LookupTable | None:
        """What the caller may see of a target that is theirs to see: of one that is everybody's, only what was
        measured of their own models. Otherwise as `find_table`."""
        if target.owner == caller.id:
            return self.find_table(target.id, model_id)
        current = current_conditions(self._session, target.id)
        own = select(literal(f"{current}/") + ModelRow.id).where(ModelRow.owner == caller.id)
        if model_id is not None:
            own = own.where(ModelRow.id == model_id)
        found = self._tables(target.id, LookupEntryRow.conditions_key.in_(own))
        return merge(found) if found else None

    def find_priors(self, caller: Caller, target_id: str, conditions_id: str) -> list[LookupTable]:
        """What was measured of the caller's other models under these conditions, a table of each, the fullest first:
        networks of one family have most of their operators in common."""
        keys = select(literal(f"{conditions_id}/") + ModelRow.id).where(seen_by(caller, ModelRow.owner))
        found = self._tables(target_id, LookupEntryRow.conditions_key.in_(keys))
        return sorted(found, key=lambda table: -len(table.entries))

    def _insert(self, target_id: str, key: str, table: LookupTable) -> None:
        now = database_now(self._session)
        common = {
            "target_id": target_id,
            "conditions_key": key,
            "conditions": table.conditions.to_json(),
            "calibration": {"factor": table.calibration},
            "created_at": now,
        }
        rows = [
            common
            | {
                "operator": entry.operator,
                "shape_key": entry.shape,
                "ms": entry.ms,
                "count": entry.count,
                "spread": entry.spread,
                "measured_at": _stated_date(entry) if key == _FIXED else now,
            }
            for entry in table.entries
        ]
        self._session.execute(insert(LookupEntryRow), rows)

    def _tables(self, target_id: str, wanted: Any) -> list[LookupTable]:
        """One table for each conditions_key, entries in the order in which they were stored."""
        rows = select(LookupEntryRow).where(LookupEntryRow.target_id == target_id, wanted)
        by_key: dict[str, list[LookupEntryRow]] = defaultdict(list)
        for row in self._session.scalars(rows.order_by(LookupEntryRow.id)):
            by_key[row.conditions_key].append(row)
        return [_table(group) for _, group in sorted(by_key.items())]


def merge(tables: Sequence[LookupTable]) -> LookupTable:
    """One table of several taken under the same conditions; a single one as it is.

    An entry that several have becomes their mean, weighted by observations. Each table's calibration is worked into
    its entries, since one factor could not serve them all.
    """
    if len(tables) == 1:
        return tables[0]
    scaled = [replace(entry, ms=entry.ms * table.calibration) for table in tables for entry in table.entries]
    return LookupTable(entries=joined(scaled), calibration=1.0, conditions=tables[0].conditions)


def _key(conditions_id: str, model_id: str) -> str:
    return f"{conditions_id}/{model_id}"


def _stated_date(entry: Entry) -> datetime | None:
    return None if entry.measured_at is None else datetime.fromisoformat(entry.measured_at)


def _table(rows: Sequence[LookupEntryRow]) -> LookupTable:
    entries = tuple(
        Entry(
            operator=row.operator,
            shape=row.shape_key,
            ms=row.ms,
            count=row.count,
            spread=row.spread or 0.0,
            measured_at=rfc3339(row.measured_at),
        )
        for row in rows
    )
    conditions, calibration = rows[0].conditions, rows[0].calibration
    if conditions is None or calibration is None:
        raise ValueError(f"entry {rows[0].id} says nothing of its conditions")
    return LookupTable(entries=entries, calibration=calibration["factor"], conditions=Conditions(**conditions))
