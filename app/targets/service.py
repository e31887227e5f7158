"""What may be done with targets: fixed tables and runtimes of this machine are added, all of them read."""

from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.latency.table import LookupTable
from app.database import Sessions, reading, unit_of_work
from app.newest_first import Position
from app.paging import Page
from app.quotas import UNLIMITED, QuotaRepository, Quotas
from app.records import Caller
from app.targets.lookup import LookupRepository
from app.targets.records import Target, TargetHasNoTable
from app.targets.repository import TARGET_CHECK_TASK, TargetRepository
from app.tasks.queue import TaskQueue


class TargetService:
    """Threads may share one."""

    def __init__(self, sessions: Sessions, quotas: Quotas = UNLIMITED) -> None:
        self._sessions, self._quotas = sessions, quotas

    def get_target(self, caller: Caller, target_id: str) -> Target:
        """Raises TargetNotFound."""
        with reading(self._sessions) as session:
            return TargetRepository(session).get_target(caller, target_id)

    def list_targets(self, caller: Caller, *, after: Position | None, limit: int) -> Page[Target]:
        with reading(self._sessions) as session:
            return TargetRepository(session).list_targets(caller, after=after, limit=limit)

    def delete_target(self, caller: Caller, target_id: str) -> None:
        """Raises TargetNotFound, TargetInUse."""
        with unit_of_work(self._sessions) as session:
            TargetRepository(session).delete_target(caller, target_id)

    def get_table(self, caller: Caller, target_id: str, model_id: str | None = None) -> LookupTable:
        """Of one model's profile, or without `model_id` of everything measured under the target's conditions now; of
        other owners' models there is nothing.

        Raises TargetNotFound, TargetHasNoTable.
        """
        with reading(self._sessions) as session:
            target = TargetRepository(session).get_target(caller, target_id)
            table = LookupRepository(session).find_shown_table(caller, target, model_id)
        if table is None:
            raise TargetHasNoTable(target_id, model_id)
        return table

    def add_table_target(self, caller: Caller, name: str, table: LookupTable) -> Target:
        """Raises QuotaExceeded."""
        with unit_of_work(self._sessions) as session:
            QuotaRepository(session, self._quotas).refuse_target(caller)
            return TargetRepository(session).add_table_target(caller, name, table)

    def add_local_target(self, caller: Caller, name: str, choice: RuntimeChoice) -> Target:
        """Whether a machine can run that is found out by a worker there: the API may run elsewhere, and asking its own
        onnxruntime for providers would refuse what the worker has. Raises QuotaExceeded."""
        with unit_of_work(self._sessions) as session:
            QuotaRepository(session, self._quotas).refuse_target(caller)
            target = TargetRepository(session).add_local_target(caller, name, choice)
            TaskQueue(session).enqueue_task(
                caller.id, TARGET_CHECK_TASK, target.id, {"target": target.id}, lane="measuring"
            )
        return target

    def copy_table_target(self, caller: Caller, name: str, source_id: str, model_id: str | None = None) -> Target:
        """A fixed table from what another target measured so far.

        Raises TargetNotFound, TargetHasNoTable, QuotaExceeded.
        """
        return self.add_table_target(caller, name, self.get_table(caller, source_id, model_id))
