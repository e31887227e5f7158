"""What every domain of the service shares: who asks, and how ids and states are spelt. No database, no HTTP."""

import secrets
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["admin", "user", "agent"]
CheckState = Literal["checking", "ready", "refused"]
JobState = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
JobRequest = Literal["cancel", "pause"]
JobPhase = Literal["checking", "training", "measuring", "waiting-for-device", "adapting", "finetuning", "verifying"]
TaskState = Literal["queued", "running", "succeeded", "failed"]
Lane = Literal["short", "long"]
TaskLane = Literal["short", "measuring", "long", "device"]
ProposalState = Literal["evaluated", "raced-out", "skipped", "failed"]
GroupKind = Literal["expansion", "bottleneck", "squeeze", "plain", "linear"]
CheckpointKind = Literal["original", "pick", "final", "uniform"]
PointKind = Literal["original", "pick", "final", "member", "uniform"]
FileFormat = Literal["onnx", "onnx-int8", "pt2", "safetensors"]
EventKind = Literal["state", "phase", "measurement", "iteration", "proposal", "checkpoint", "message"]
TargetKind = Literal["local", "agent", "table"]

LAST_STATES: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled"})
OPEN_STATES: frozenset[JobState] = frozenset({"queued", "running", "paused"})
SYSTEM_OWNER = "system"
"""Owner of what is always there (`digits`, `local`): everybody sees it and nobody changes it."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no letter that reads like a digit


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks. `id` is the owner written on rows; what has another owner (the system's apart) is not there."""

    id: str
    role: Role = "user"


LOCAL_CALLER = Caller(id="local", role="admin")
"""Everybody, on a service that has no tokens and therefore listens on loopback only."""


def fields_of(record: Any) -> dict[str, Any]:
    """The fields of a record by their names, as they are: `asdict` copies all that lies in them, which for a page of
    jobs takes as long as asking the database."""
    return dict(vars(record))


def new_id(prefix: Literal["mdl", "dst", "tgt", "job", "tsk", "prp", "tok", "whk", "dlv"]) -> str:
    """`prefix_` and 20 random characters (100 bits)."""
    return f"{prefix}_" + "".join(secrets.choice(_ALPHABET) for _ in range(20))
