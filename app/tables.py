"""The rows: enums are text with a CHECK. They never leave the repositories, which hand out records instead."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app import records
from app.table_base import Base, Big, one_of

_OPEN = text("state IN ('queued', 'running')")
_AGENT = text("kind = 'agent'")  # two agents of one owner have two names


class BlobRow(Base):
    """A stored file by its hash; the row is written after the file."""

    __tablename__ = "blobs"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]


class ModelRow(Base):
    """`identity` is the hash of everything that makes an upload the same upload; `graph` is Graph.to_json.

    `sha256` is that of the file as it came, which is not kept; `weights_sha256` the safetensors file that we wrote
    from it, the only one that a worker reads.
    """

    __tablename__ = "models"
    __table_args__ = (
        one_of("state", records.CheckState),
        UniqueConstraint("owner", "identity"),
        Index(None, "owner", "created_at", "id"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    identity: Mapped[str]
    name: Mapped[str]
    state: Mapped[str]
    error: Mapped[dict[str, Any] | None]
    format: Mapped[str]
    architecture: Mapped[str | None]
    sha256: Mapped[str | None] = mapped_column(String(64))
    bytes: Mapped[int] = mapped_column(BigInteger)
    graph: Mapped[str]
    weights_sha256: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    onnx_sha256: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    input_shape: Mapped[list[Any]]
    class_count: Mapped[int]
    classes: Mapped[list[Any] | None]
    normalization: Mapped[dict[str, Any]]
    params: Mapped[int] = mapped_column(BigInteger)
    macs: Mapped[int] = mapped_column(BigInteger)
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    by_kind: Mapped[dict[str, Any] | None]
    groups: Mapped[list[Any] | None]  # as listed; None until a worker has found them
    plan: Mapped[str | None]  # the same groups with their slices (groups_to_json): long, and only read to prune
    created_at: Mapped[datetime]


class DatasetRow(Base):
    __tablename__ = "datasets"
    __table_args__ = (
        one_of("state", records.CheckState),
        UniqueConstraint("owner", "identity"),
        Index(None, "owner", "created_at", "id"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    identity: Mapped[str]
    name: Mapped[str]
    state: Mapped[str]
    error: Mapped[dict[str, Any] | None]
    format: Mapped[str]
    sha256: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    classes: Mapped[list[Any] | None]
    counts: Mapped[dict[str, Any] | None]
    image_shape: Mapped[list[Any] | None]
    splits: Mapped[dict[str, Any] | None]
    report: Mapped[dict[str, Any] | None]
    # Decoded once: pixels and labels (None where the upload itself is an array file), and thumbnails.
    images_sha256: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    labels_sha256: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    sample_sha256: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    created_at: Mapped[datetime]


class TargetRow(Base):
    """Where latency is measured. `entries` of a table target are rows of `lookup_entries`."""

    __tablename__ = "targets"
    __table_args__ = (
        one_of("kind", records.TargetKind),
        Index(None, "owner", "created_at", "id"),
        Index("uq_targets_agent", "owner", "name", unique=True, sqlite_where=_AGENT, postgresql_where=_AGENT),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    name: Mapped[str]
    kind: Mapped[str]
    runtime: Mapped[str]
    provider: Mapped[str]
    threads: Mapped[int]
    batch: Mapped[int]
    precision: Mapped[str]
    fingerprint: Mapped[dict[str, Any] | None]
    state: Mapped[str]
    error: Mapped[dict[str, Any] | None]
    document: Mapped[dict[str, Any] | None]  # what an uploaded table says of itself beside its entries
    provider_options: Mapped[dict[str, Any] | None]
    instance: Mapped[str | None]  # of an agent: the process that has the name now
    last_seen_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class LookupEntryRow(Base):
    """One measured operator: `ms` is the median of `count` runs, `spread` their relative interquartile range.
    `measured_at` null: an uploaded table did not say."""

    __tablename__ = "lookup_entries"
    __table_args__ = (UniqueConstraint("target_id", "operator", "shape_key", "conditions_key"),)
    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=True)
    target_id: Mapped[str] = mapped_column(ForeignKey("targets.id", ondelete="CASCADE"))
    operator: Mapped[str]
    shape_key: Mapped[str]
    conditions_key: Mapped[str] = mapped_column(default="")
    ms: Mapped[float]
    count: Mapped[int]
    spread: Mapped[float | None]
    conditions: Mapped[dict[str, Any] | None]
    calibration: Mapped[dict[str, Any] | None]
    measured_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class NetworkLatencyRow(Base):
    """A pruned version of a model, measured end to end: `structure` stands for its channel counts."""

    __tablename__ = "network_latencies"
    target_id: Mapped[str] = mapped_column(ForeignKey("targets.id", ondelete="CASCADE"), primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    conditions_key: Mapped[str] = mapped_column(primary_key=True)
    structure: Mapped[str] = mapped_column(primary_key=True)
    ms: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
    original_ms: Mapped[float]
    created_at: Mapped[datetime]


class TaskRow(Base):
    """Short work: checking a model, profiling one on a target. One of a kind and key is open at a time."""

    __tablename__ = "tasks"
    __table_args__ = (
        one_of("state", records.TaskState),
        one_of("lane", records.TaskLane),
        Index("ix_tasks_queue", "lane", "state", "created_at"),
        Index("uq_tasks_open", "kind", "key", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index(None, "kind", "key", "created_at"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    kind: Mapped[str]
    key: Mapped[str]
    lane: Mapped[str]
    state: Mapped[str]
    payload: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    fence: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    # of the lane "device": whose agent may take it
    target_id: Mapped[str | None] = mapped_column(ForeignKey("targets.id", ondelete="CASCADE"))


class JobRow(Base):
    """`event_counter` is the number of the last event; `recorded` counts results, the sign of life that a crash
    loop lacks; `attempts` counts claims since the last result was recorded."""

    __tablename__ = "jobs"
    __table_args__ = (
        one_of("state", records.JobState),
        one_of("requested", records.JobRequest),
        one_of("phase", records.JobPhase),
        one_of("lane", records.Lane),
        Index("ix_jobs_queue", "lane", "state", "created_at"),
        Index(None, "owner", "created_at", "id"),
        Index(None, "owner", "state", "created_at", "id"),
        Index(None, "owner", "started_at"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    name: Mapped[str | None]
    state: Mapped[str]
    requested: Mapped[str | None]
    phase: Mapped[str | None]
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), index=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    target_id: Mapped[str] = mapped_column(ForeignKey("targets.id"), index=True)
    budget: Mapped[dict[str, Any]]  # as asked: numbers and "NN%"
    limits: Mapped[dict[str, Any] | None]  # as resolved: absolute
    settings: Mapped[dict[str, Any]]  # effective
    effective: Mapped[dict[str, Any] | None]  # what those settings came to that left it to the job
    continues: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    from_iteration: Mapped[int | None]  # of `continues`: whose pick this member of its family trains to the end
    lane: Mapped[str]
    fence: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    event_counter: Mapped[int] = mapped_column(default=0)
    recorded: Mapped[int] = mapped_column(default=0)
    recorded_at_claim: Mapped[int] = mapped_column(default=0)
    instruction_set: Mapped[str | None]  # of the host that claimed it first
    ran_s: Mapped[float] = mapped_column(default=0.0)  # in all, pauses left out; noted when a lease is renewed
    progress: Mapped[dict[str, Any] | None]
    original: Mapped[dict[str, Any] | None]
    current: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]
    uniform: Mapped[dict[str, Any] | None]  # figures of the network that the result is compared with
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class JobValueRow(Base):
    """What a resumed job must find again (scores of the original, the look-up table it decides from ...)."""

    __tablename__ = "job_values"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class MeasurementRow(Base):
    """A latency, recorded before it is used; `key` and `latency` as in adapt.events.Measured."""

    __tablename__ = "measurements"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    latency: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class EpochStateRow(Base):
    """The last finished epoch of a long-term fine-tune: all that the next one needs lies in the blob."""

    __tablename__ = "epoch_states"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int]
    epochs: Mapped[int]
    holdout: Mapped[dict[str, Any] | None]
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    created_at: Mapped[datetime]


class IterationRow(Base):
    __tablename__ = "iterations"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    iteration: Mapped[int] = mapped_column(primary_key=True)
    constraint: Mapped[dict[str, Any]]
    control: Mapped[dict[str, Any] | None]
    calibration: Mapped[float | None]
    before: Mapped[dict[str, Any]]
    after: Mapped[dict[str, Any] | None]
    picked: Mapped[list[Any]]
    kept: Mapped[dict[str, Any] | None]  # group id -> indices among the original's channels
    holdout: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class ProposalRow(Base):
    """`number` is that of the event that told of it: ascending within the job, the listing's order."""

    __tablename__ = "proposals"
    __table_args__ = (
        one_of("state", records.ProposalState),
        one_of("kind", records.GroupKind),
        UniqueConstraint("job_id", "iteration", "group_id"),
        Index(None, "job_id", "iteration", "number"),
        Index(None, "job_id", "number"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    number: Mapped[int]
    iteration: Mapped[int]
    group_id: Mapped[str]
    layers: Mapped[list[Any]]
    kind: Mapped[str]
    filters_before: Mapped[int]
    filters_after: Mapped[int | None]
    state: Mapped[str]
    reason: Mapped[str | None]
    predicted: Mapped[dict[str, Any] | None]
    next_larger: Mapped[dict[str, Any] | None]
    kept: Mapped[list[Any] | None]
    further: Mapped[dict[str, Any] | None]
    accuracy_before_finetune: Mapped[float | None]
    accuracy: Mapped[float | None]
    loss: Mapped[float | None]
    judged_again: Mapped[dict[str, Any] | None]  # its score on a larger hold-out, where the first told it from none
    delta_accuracy: Mapped[float | None]
    delta_latency_ms: Mapped[float | None]
    slope: Mapped[float | None]
    picked: Mapped[bool] = mapped_column(default=False)
    steps: Mapped[int | None]
    attempts: Mapped[int | None]
    seconds: Mapped[float | None]
    rung: Mapped[int | None]
    behind: Mapped[float | None]
    behind_standard_error: Mapped[float | None]
    answers: Mapped[str | None]
    created_at: Mapped[datetime]


class CheckpointRow(Base):
    __tablename__ = "checkpoints"
    __table_args__ = (
        one_of("kind", records.CheckpointKind),
        UniqueConstraint("job_id", "checkpoint"),
        Index(None, "job_id", "number"),
    )
    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    checkpoint: Mapped[str]
    number: Mapped[int]
    kind: Mapped[str]
    iteration: Mapped[int]
    latency: Mapped[dict[str, Any] | None]
    macs: Mapped[int | None] = mapped_column(BigInteger)
    params: Mapped[int | None] = mapped_column(BigInteger)
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    peak_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    accuracy: Mapped[float | None]
    holdout_accuracy: Mapped[float | None]
    filters: Mapped[dict[str, Any]]
    kept: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    files: Mapped[list["CheckpointFileRow"]] = relationship(lazy="raise", order_by="CheckpointFileRow.format")


class CheckpointFileRow(Base):
    __tablename__ = "checkpoint_files"
    __table_args__ = (one_of("format", records.FileFormat),)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id", ondelete="CASCADE"), primary_key=True)
    format: Mapped[str] = mapped_column(primary_key=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    accuracy: Mapped[float | None]  # on the test set, of a file that computes differently from its network


class EventRow(Base):
    __tablename__ = "events"
    __table_args__ = (one_of("event", records.EventKind),)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    event: Mapped[str]
    data: Mapped[dict[str, Any]]
    at: Mapped[datetime]


class TokenRow(Base):
    """`hash` is the token's sha256: the token has 256 random bits, so nothing slower is needed."""

    __tablename__ = "tokens"
    __table_args__ = (one_of("role", records.Role), UniqueConstraint("hash"))
    id: Mapped[str] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(String(64))
    owner: Mapped[str]
    name: Mapped[str | None]
    role: Mapped[str]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class SessionRow(Base):
    """A signed-in browser; ends with its token."""

    __tablename__ = "sessions"
    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str]
    token_id: Mapped[str] = mapped_column(ForeignKey("tokens.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class IdempotencyKeyRow(Base):
    """The first answer to a POST with this key; `status` is None while the first is still running."""

    __tablename__ = "idempotency_keys"
    owner: Mapped[str] = mapped_column(primary_key=True)
    method: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    content_hash: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[int | None]
    headers: Mapped[dict[str, Any] | None]
    body: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(index=True)


class WebhookRow(Base):
    """`secret` is kept as it is: every message is signed with it."""

    __tablename__ = "webhooks"
    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(index=True)
    url: Mapped[str]
    secret: Mapped[str]
    events: Mapped[list[Any]]
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class WebhookDeliveryRow(Base):
    """One message: `body` is what is signed and sent, to the byte. It outlives its job, which may be deleted before the
    message is delivered. `attempts` is the fence of whoever sends it (app/webhooks/outbox.py)."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'delivered', 'failed')", name="state"),
        Index(None, "state", "next_attempt_at"),
        Index(None, "webhook_id", "created_at", "id"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    job_id: Mapped[str]
    event: Mapped[str]
    body: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None]
    response_status: Mapped[int | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]


class CounterRow(Base):
    """What happened how often since the database was made; it never falls, whatever is deleted (app/counters.py)."""

    __tablename__ = "counters"
    name: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]


class WorkerRow(Base):
    """A process that serves a lane, as long as it lives; `seen_at` says whether it does (app/presence.py)."""

    __tablename__ = "workers"
    id: Mapped[str] = mapped_column(primary_key=True)
    lane: Mapped[str]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
