"""The only SQL about agents: a target of kind `agent` is one, and knows which process has its name now.

An agent is there as long as it is heard of: it asks for work, or holds some and says that it still does. Never commits.
"""

from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from adapt.latency.conditions import Conditions
from app.agent.records import Agent, NameTaken, OtherSettings
from app.database import database_now
from app.records import Caller, new_id
from app.tables import TargetRow
from app.targets.lookup import fingerprint
from app.targets.presence import SILENT_S, unseen_s

_CHOSEN = ("runtime", "provider", "provider_options", "threads", "batch", "precision")


class AgentRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def is_known(self, caller: Caller, name: str) -> bool:
        """Whether a device of this name called before."""
        return self._session.scalar(_named(caller, name)) is not None

    def check_in(self, caller: Caller, agent: Agent) -> str:
        """The id of the agent's target, made at its first call. Raises NameTaken, OtherSettings.

        Two first calls at once: the second fails with an IntegrityError, and finds the target when it tries again.
        """
        now = database_now(self._session)
        named = _named(caller, agent.name)
        row = self._session.scalar(named.with_for_update().execution_options(populate_existing=True))
        if row is None:
            row = _new_row(caller, agent, now)
            self._session.add(row)
        else:
            _refuse_second(row, agent, now)
            _refuse_other_settings(row, agent.conditions)
        row.instance, row.fingerprint, row.last_seen_at = agent.instance, fingerprint(agent.conditions), now
        self._session.flush()
        return row.id

    def note_seen(self, target_id: str, instance: str) -> bool:
        """Whether the name is still this process's."""
        seen = update(TargetRow).where(TargetRow.id == target_id, TargetRow.instance == instance)
        seen = seen.values(last_seen_at=database_now(self._session))
        return self._session.execute(seen.returning(TargetRow.id)).first() is not None

    def unseen_s(self, target_id: str) -> float:
        """Seconds since it was heard of; infinite for a target that never was, or that is gone."""
        seen_at = self._session.scalar(select(TargetRow.last_seen_at).where(TargetRow.id == target_id))
        return unseen_s(seen_at, database_now(self._session))

    def get_conditions(self, target_id: str) -> Conditions:
        """Under which it measures now. Raises LookupError for what is no agent's target."""
        known = self._session.scalar(select(TargetRow.fingerprint).where(TargetRow.id == target_id))
        if known is None:
            raise LookupError(f"target {target_id} never said under what conditions it measures")
        return Conditions(**{name: value for name, value in known.items() if name != "id"})


def _named(caller: Caller, name: str) -> Select[TargetRow]:
    return select(TargetRow).where(TargetRow.owner == caller.id, TargetRow.kind == "agent", TargetRow.name == name)


def _new_row(caller: Caller, agent: Agent, now: datetime) -> TargetRow:
    chosen = {name: value for name, value in asdict(agent.conditions).items() if name in _CHOSEN}
    return TargetRow(
        id=new_id("tgt"),
        owner=caller.id,
        name=agent.name,
        kind="agent",
        state="ready",
        created_at=now,
        **{**chosen, "provider_options": chosen["provider_options"] or None},
    )


def _refuse_second(row: TargetRow, agent: Agent, now: datetime) -> None:
    silent_s = unseen_s(row.last_seen_at, now)
    if row.instance != agent.instance and silent_s < SILENT_S:
        raise NameTaken(agent.name, silent_s)


def _refuse_other_settings(row: TargetRow, conditions: Conditions) -> None:
    now = {**asdict(conditions), "provider_options": conditions.provider_options or None}
    different = tuple(f"{name} {getattr(row, name)}" for name in _CHOSEN if getattr(row, name) != now[name])
    if different:
        raise OtherSettings(row.name, row.id, different)
