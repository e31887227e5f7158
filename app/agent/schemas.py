"""What agents send and get over HTTP."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, RootModel

from app.agent.records import HeldOrder, WhichFile
from app.labels import Label

PATH = "/v1/agent/tasks"


class ClaimIn(BaseModel):
    """An agent introduces itself with each question for work. `instance` is drawn at random when its process starts;
    `conditions` are those it measures under: {runtime, runtime_version, provider, provider_options, threads, batch,
    precision, cpu, instruction_set}. One that `renews` says every few seconds that it is still at work, and so loses
    its task soon when it dies."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Label
    instance: str = Field(min_length=8, max_length=100, pattern=r"^[A-Za-z0-9_-]+$")
    renews: bool = False
    conditions: dict[str, Any]


class FileOut(BaseModel):
    sha256: str
    url: str


class ReadingTaskOut(BaseModel):
    """One reading to take: `candidate` beside `reference`, in blocks as `plan` says. The lease ends after
    `lease_seconds` unless it is answered or renewed before."""

    id: str
    lease: int
    lease_seconds: float
    plan: dict[str, Any]
    candidate: FileOut
    reference: FileOut

    @classmethod
    def of(cls, held: HeldOrder) -> "ReadingTaskOut":
        def file(which: WhichFile, sha256: str) -> FileOut:
            return FileOut(sha256=sha256, url=f"{PATH}/{held.task_id}/files/{which}?lease={held.lease}")

        return cls(
            id=held.task_id,
            lease=held.lease,
            lease_seconds=held.lease_s,
            plan=held.order.plan.to_document(),
            candidate=file("candidate", held.order.candidate),
            reference=file("reference", held.order.reference),
        )


class FailureIn(BaseModel):
    """In place of a reading: why the device cannot take it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    failed: str = Field(min_length=1, max_length=2000)


class KernelIn(BaseModel):
    name: str
    operator: str
    ms: float


class ReadingIn(BaseModel):
    """For the API's description: what adapt.latency.reading takes. Milliseconds per run, pair by pair."""

    conditions: dict[str, Any]
    candidate_ms: list[float]
    reference_ms: list[float]
    runs: int
    kernels: list[KernelIn] = []


class ResultIn(RootModel[ReadingIn | FailureIn]):
    """What a device answers."""
