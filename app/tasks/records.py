"""Short work as frozen values: a check of an upload, a profile of a model on a target."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.records import TaskLane, TaskState


@dataclass(frozen=True, kw_only=True)
class Task:
    """`key` names what it is about: one task of a kind and key is open at a time."""

    id: str
    owner: str
    kind: str
    key: str
    lane: TaskLane
    state: TaskState
    payload: dict[str, Any]
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    attempts: int
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class ClaimedTask:
    """A worker's hold on a task."""

    id: str
    owner: str
    kind: str
    payload: dict[str, Any]
    fence: int
