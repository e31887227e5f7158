"""Targets as HTTP shows and takes them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationInfo, field_validator, model_validator

from adapt.latency.runtimes.choice import MAX_BATCH, MAX_THREADS, PROVIDERS_OF_TORCH, Precision
from app.json_body import InvalidFields, validate
from app.labels import Label
from app.plugin_names import NameOf
from app.records import TargetKind
from app.targets.provider_options import not_for_users
from app.targets.records import Target
from app.timestamps import rfc3339


class _Named(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NewTableTarget(_Named):
    """A fixed look-up table: given as `table`, or taken `from` another target (there optionally of one `model`)."""

    kind: Literal["table"]
    name: Label = "table"
    table: dict[str, Any] | None = None
    source: str | None = Field(default=None, alias="from", max_length=100)
    model: str | None = Field(default=None, max_length=100)

    @model_validator(mode="after")
    def _one_source(self) -> "NewTableTarget":
        if (self.table is None) == (self.source is None):
            raise ValueError("give either `table` or `from`")
        if self.model is not None and self.source is None:
            raise ValueError("`model` goes with `from`")
        return self


Option = Annotated[str, Field(max_length=200)]


class NewLocalTarget(_Named):
    """The machine that a worker runs on, with a runtime of your choice. `provider`: one of onnxruntime's execution
    providers, `cpu` or `cuda` of torch, or what a runtime that a package adds knows; null for the processor.
    `provider_options`: its own, as texts."""

    kind: Literal["local"]
    name: Label = "local"
    runtime: Annotated[str, NameOf("runtime")] = "onnxruntime"
    provider: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_]{1,100}$")
    provider_options: dict[Option, Option] = Field(default_factory=dict, max_length=100)
    threads: int = Field(default=1, ge=1, le=MAX_THREADS)
    batch: int = Field(default=1, ge=1, le=MAX_BATCH)
    precision: Precision = "float32"

    @field_validator("provider")
    @classmethod
    def _of_the_runtime(cls, provider: str | None, given: ValidationInfo) -> str | None:
        if provider is not None and _is_torch(given) and provider not in PROVIDERS_OF_TORCH:
            raise ValueError(f"torch runs on {' or '.join(PROVIDERS_OF_TORCH)}")
        return provider

    @field_validator("provider_options")
    @classmethod
    def _has_options(cls, options: dict[str, str], given: ValidationInfo) -> dict[str, str]:
        if options and _is_torch(given):
            raise ValueError("torch has none; the runtime onnxruntime has")
        if refused := not_for_users(options):
            raise ValueError(
                f"{', '.join(refused)}: only options that say how to compute may be set for a worker's machine; "
                "`netadapt agent` takes any on a machine of your own"
            )
        return options

    @field_validator("precision")
    @classmethod
    def _is_run(cls, precision: Precision, given: ValidationInfo) -> Precision:
        if precision != "float32" and given.data.get("runtime", "onnxruntime") != "onnxruntime":
            raise ValueError(f"{precision} networks are run by onnxruntime alone")
        return precision


def _is_torch(given: ValidationInfo) -> bool:
    """False also where the runtime itself is at fault: that is said already."""
    return given.data.get("runtime") in ("torch", "torch-compile")


_NEW: dict[str, type[NewTableTarget] | type[NewLocalTarget]] = {"table": NewTableTarget, "local": NewLocalTarget}


class NewTarget(RootModel[NewTableTarget | NewLocalTarget]):
    """Either, by its `kind`."""


def read_new_target(document: Any) -> NewTableTarget | NewLocalTarget:
    """Raises InvalidFields."""
    kind = document.get("kind") if isinstance(document, dict) else None
    if isinstance(document, dict) and (not isinstance(kind, str) or kind not in _NEW):
        detail = f"must be one of {', '.join(_NEW)}; `netadapt agent`, run on another device, makes that one a target"
        raise InvalidFields([{"pointer": "/kind", "detail": detail}])
    return validate(_NEW.get(str(kind), NewTableTarget), document)


class TargetOut(BaseModel):
    """Where latency is measured. `fingerprint` are the conditions it measured under last; null before that."""

    id: str
    name: str
    kind: TargetKind
    runtime: str
    provider: str
    provider_options: dict[str, str]
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
            provider_options=dict(target.provider_options),
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
