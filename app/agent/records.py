"""What the service knows of a device's agent, and what it hands to one. No rows, no HTTP."""

from dataclasses import dataclass
from typing import Any, Literal

from adapt.latency.conditions import Conditions
from adapt.latency.reading import Plan

WhichFile = Literal["candidate", "reference"]


class AgentError(Exception):
    """Root of what goes wrong between the service and an agent."""


class NameTaken(AgentError):
    """Another process measures under this name; `seen_s`: how many seconds ago it was last heard of."""

    def __init__(self, name: str, seen_s: float) -> None:
        super().__init__(name, seen_s)
        self.name, self.seen_s = name, seen_s

    def __str__(self) -> str:
        return (
            f"an agent named {self.name} is at work already (seen {self.seen_s:.0f} s ago): "
            "end that one first, or start this one with another --name"
        )


class OtherSettings(AgentError):
    """The target of this name measures with something else, and its figures would not be comparable."""

    def __init__(self, name: str, target_id: str, differences: tuple[str, ...]) -> None:
        super().__init__(name, target_id, differences)
        self.name, self.target_id, self.differences = name, target_id, differences

    def __str__(self) -> str:
        return (
            f"target {self.name} ({self.target_id}) has {' and '.join(self.differences)}: start the agent with the "
            f"same, give it another --name, or delete the target (netadapt targets delete {self.target_id})"
        )


class ReadingTaskNotFound(AgentError):
    """There is no such task, or it is for a device of somebody else's."""

    def __init__(self, task_id: str) -> None:
        super().__init__(task_id)
        self.task_id = task_id

    def __str__(self) -> str:
        return f"there is no task {self.task_id}"


class NotHeld(AgentError):
    """The lease with which the agent comes is not the one that holds the task now."""

    def __init__(self, task_id: str, why: str) -> None:
        super().__init__(task_id, why)
        self.task_id, self.why = task_id, why

    def __str__(self) -> str:
        return f"task {self.task_id}: {self.why}; ask for the next one"


@dataclass(frozen=True, kw_only=True)
class Agent:
    """An agent as it introduces itself. `instance` is its process's own, drawn at random when that starts; one that
    `renews` promises to say every few seconds that it is still at work."""

    name: str
    instance: str
    renews: bool
    conditions: Conditions


@dataclass(frozen=True, kw_only=True)
class ReadingOrder:
    """A reading that is wanted. Files by their sha256 in the storage; `asker` is the job or task that waits for it."""

    asker: str
    candidate: str
    reference: str
    plan: Plan

    def to_payload(self) -> dict[str, Any]:
        return {
            "asker": self.asker,
            "candidate": self.candidate,
            "reference": self.reference,
            "plan": self.plan.to_document(),
        }

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> "ReadingOrder":
        return cls(
            asker=payload["asker"],
            candidate=payload["candidate"],
            reference=payload["reference"],
            plan=Plan.from_document(payload["plan"]),
        )


@dataclass(frozen=True, kw_only=True)
class HeldOrder:
    """An order in an agent's hands. `lease` is a number that no later holder has; without an answer or a sign of life
    it ends after `lease_s`."""

    task_id: str
    lease: int
    lease_s: float
    order: ReadingOrder
