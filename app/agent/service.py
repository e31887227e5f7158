"""The rules between the service and agents: who an agent is, which work it gets, which answers are taken."""

from typing import Any, get_args

from sqlalchemy.exc import IntegrityError

from adapt.errors import ReadingRefused
from adapt.latency.conditions import Conditions, conditions_from_document
from adapt.latency.fields import Fields
from adapt.latency.reading import Plan, Reading, reading_from_document
from adapt.latency.runtimes.choice import MAX_BATCH, MAX_THREADS, Precision
from adapt.plugins import names
from app.agent.holding import Holding
from app.agent.presence import AgentRepository
from app.agent.records import Agent, HeldOrder, NameTaken, WhichFile
from app.database import Sessions, reading, unit_of_work
from app.json_body import InvalidFields, pointer_of
from app.quotas import UNLIMITED, QuotaRepository, Quotas
from app.records import Caller
from app.targets.presence import SILENT_S

TOUCH_S = SILENT_S / 3
"""How often an agent that waits for work is noted as there."""


class AgentService:
    """Threads may share one."""

    def __init__(self, sessions: Sessions, quotas: Quotas = UNLIMITED) -> None:
        self._sessions, self._quotas = sessions, quotas

    def introduce(self, name: str, instance: str, conditions: object, *, renews: bool) -> Agent:
        """An agent as it describes itself. Raises InvalidFields."""
        try:
            found = conditions_from_document(conditions, "conditions", Fields(ReadingRefused))
        except ReadingRefused as error:
            raise InvalidFields([{"pointer": pointer_of(error.where), "detail": error.why}]) from error
        _check_choice(found)
        return Agent(name=name, instance=instance, renews=renews, conditions=found)

    def check_in(self, caller: Caller, agent: Agent) -> str:
        """The id of its target; whatever it held before is free again. Raises NameTaken, OtherSettings, and
        QuotaExceeded for one target too many."""
        try:
            return self._check_in(caller, agent)
        except IntegrityError:  # another process made the target of this name in the same moment
            return self._check_in(caller, agent)

    def next_order(self, target_id: str, agent: Agent) -> HeldOrder | None:
        """What it shall measure, if anything is asked of it now. Raises NameTaken once the name is another's."""
        with reading(self._sessions) as session:
            waiting = Holding(session).has_work(target_id)
            fresh = AgentRepository(session).unseen_s(target_id) < TOUCH_S
        if fresh and not waiting:
            return None
        with unit_of_work(self._sessions) as session:
            if not AgentRepository(session).note_seen(target_id, agent.instance):
                raise NameTaken(agent.name, 0)
            return Holding(session).hand_out(target_id, agent)

    def renew(self, caller: Caller, task_id: str, lease: int) -> None:
        """It is still at work. Raises ReadingTaskNotFound, NotHeld."""
        with unit_of_work(self._sessions) as session:
            AgentRepository(session).note_seen(*Holding(session).renew(caller, task_id, lease))

    def file_of(self, caller: Caller, task_id: str, lease: int, which: WhichFile) -> str:
        """The sha256 of a file that it has to measure. Raises ReadingTaskNotFound, NotHeld."""
        with unit_of_work(self._sessions) as session:
            _, order = Holding(session).get_held(caller, task_id, lease)
        return order.candidate if which == "candidate" else order.reference

    def answer(self, caller: Caller, task_id: str, lease: int, document: object) -> None:
        """A reading. What is refused leaves the task as it was.

        Raises ReadingTaskNotFound, NotHeld; ReadingRefused for one that is none, or not what was asked for.
        """
        with unit_of_work(self._sessions) as session:
            holding, agents = Holding(session), AgentRepository(session)
            target_id, order = holding.get_held(caller, task_id, lease)
            found = reading_from_document(document)
            _check_length(found, order.plan)
            _check_conditions(found, agents.get_conditions(target_id).to_json())
            holding.answer(caller, task_id, lease, found)

    def fail(self, caller: Caller, task_id: str, lease: int, why: str) -> None:
        """It cannot measure that. Raises ReadingTaskNotFound, NotHeld."""
        with unit_of_work(self._sessions) as session:
            Holding(session).fail(caller, task_id, lease, why)

    def _check_in(self, caller: Caller, agent: Agent) -> str:
        with unit_of_work(self._sessions) as session:
            agents = AgentRepository(session)
            if not agents.is_known(caller, agent.name):
                QuotaRepository(session, self._quotas).refuse_target(caller)
            target_id = agents.check_in(caller, agent)
            Holding(session).take_back(target_id)
            return target_id


def _check_choice(conditions: Conditions) -> None:
    """Raises InvalidFields for what no device can be asked to do."""
    wrong = []
    if conditions.runtime not in (there := names("runtime")):
        wrong.append(("runtime", f"is one of {', '.join(there)}"))
    if conditions.precision not in get_args(Precision):
        wrong.append(("precision", f"is one of {', '.join(get_args(Precision))}"))
    if conditions.precision != "float32" and conditions.runtime != "onnxruntime":
        wrong.append(("precision", f"{conditions.precision} networks are run by onnxruntime alone"))
    if conditions.threads > MAX_THREADS:
        wrong.append(("threads", f"is at most {MAX_THREADS}"))
    if conditions.batch > MAX_BATCH:
        wrong.append(("batch", f"is at most {MAX_BATCH}"))
    if wrong:
        raise InvalidFields([{"pointer": f"/conditions/{field}", "detail": why} for field, why in wrong])


def _check_length(found: Reading, plan: Plan) -> None:
    """A handful of pairs has no interval, and would seem exact."""
    if (pairs := len(found.candidate_ms)) < plan.minimum_pairs:
        raise ReadingRefused("candidate_ms", f"has {pairs} blocks, the plan asks for at least {plan.minimum_pairs}")


def _check_conditions(found: Reading, known: dict[str, Any]) -> None:
    for name, value in found.conditions.to_json().items():
        if value != known.get(name):
            raise ReadingRefused(f"conditions.{name}", f"is {value}; the target measures with {known.get(name)}")
    if missing := known.keys() - found.conditions.to_json().keys():
        raise ReadingRefused(f"conditions.{min(missing)}", "is missing: the target measures with it")
