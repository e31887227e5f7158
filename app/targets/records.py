"""A target as the service knows it: where latency is measured. No rows, no HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapt.latency.runtimes.choice import Precision, RuntimeChoice
from app.records import TargetKind


class TargetError(Exception):
    """Root of what goes wrong with targets."""


class TargetNotFound(TargetError):
    """There is none with this id, or it is somebody else's."""

    def __init__(self, target_id: str) -> None:
        super().__init__(target_id)
        self.target_id = target_id

    def __str__(self) -> str:
        if self.target_id.startswith("tgt_"):
            return f"there is no target {self.target_id}"
        return f"there is no target {self.target_id}: name it by its id, which the list of targets shows"


class TargetInUse(TargetError):
    """`job_id` is one of the jobs that point at it; None for `local`, which is always there."""

    def __init__(self, target_id: str, job_id: str | None) -> None:
        super().__init__(target_id, job_id)
        self.target_id, self.job_id = target_id, job_id

    def __str__(self) -> str:
        if self.job_id is None:
            return f"target {self.target_id} is always there and cannot be deleted"
        return f"target {self.target_id} is used by job {self.job_id}; delete the job first"


class TargetHasNoTable(TargetError):
    """Nothing was measured on it yet, or nothing of that model."""

    def __init__(self, target_id: str, model_id: str | None) -> None:
        super().__init__(target_id, model_id)
        self.target_id, self.model_id = target_id, model_id

    def __str__(self) -> str:
        of_what = "" if self.model_id is None else f" of model {self.model_id}"
        return (
            f"target {self.target_id} has no measurements{of_what} yet; a check or a job with a latency budget fills it"
        )


@dataclass(frozen=True, kw_only=True)
class Target:
    """`fingerprint` says under which conditions it measured last; None before the first measurement."""

    id: str
    owner: str
    name: str
    kind: TargetKind
    runtime: str
    provider: str
    provider_options: Mapping[str, str]
    threads: int
    batch: int
    precision: Precision
    fingerprint: dict[str, Any] | None
    state: str
    error: dict[str, Any] | None
    last_seen_at: datetime | None
    created_at: datetime

    @property
    def choice(self) -> RuntimeChoice:
        """What it runs networks with."""
        return RuntimeChoice(
            runtime=self.runtime,
            provider=self.provider,
            provider_options=self.provider_options,
            threads=self.threads,
            batch=self.batch,
            precision=self.precision,
        )
