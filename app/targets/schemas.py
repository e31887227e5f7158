"""Targets as HTTP shows and takes them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from app.labels import MAX_NAME
from app.records import TargetKind
from app.targets.records import Target
from app.timestamps import rfc3339


class NewTarget(BaseModel):
    """A fixed look-up table: given as `table`, or taken `from` another target (there optionally of one `model`)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["table"]
    name: str = Field(default="table", min_length=1, max_length=MAX_NAME)
    table: dict[str, Any] | None = None
    source: str | None = Field(default=None, alias="from", max_length=100)
    model: str | None = Field(default=None, max_length=100)

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable() or not name.strip():
            raise ValueError("has to be printable, and more than spaces")
        return name.strip()

    @model_validator(mode="after")
    def _one_source(self) -> "NewTarget":
        if (self.table is None) == (self.source is None):
            raise ValueError("give either `table` or `from`")
        if self.model is not None and self.source is None:
            raise ValueError("`model` goes with `from`")
        return self


class TargetOut(BaseModel):
    """Where latency is measured. `fingerprint` are the conditions it measured under last; null before that."""

    id: str
    name: str
    kind: TargetKind
    runtime: str
    provider: str
    threads: int
    batch: int
    precision: str
    fingerprint: dict[str, Any] | None
    state: str
    error: dict[str, Any] | None
    last_seen_at: str | None
    created_at: str | None

    @classmethod
    def of(cls, target: Target) -> "TargetOut":
        return cls(
            id=target.id,
            name=target.name,
            kind=target.kind,
            runtime=target.runtime,
            provider=target.provider,
            threads=target.threads,
            batch=target.batch,
            precision=target.precision,
            fingerprint=target.fingerprint,
            state=target.state,
            error=target.error,
            last_seen_at=rfc3339(target.last_seen_at),
            created_at=rfc3339(target.created_at),
        )


class TargetListing(BaseModel):
    data: list[TargetOut]
    next_cursor: str | None
