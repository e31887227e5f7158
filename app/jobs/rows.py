"""Rows to records, for the repositories of jobs."""

from typing import Any, cast

from sqlalchemy import Row

from app.jobs.records import (
    Checkpoint,
    CheckpointFile,
    CheckpointPoint,
    EpochState,
    Figures,
    Iteration,
    Job,
    JobProgress,
    LatencyFigures,
    NextLarger,
    Proposal,
    UniformFigures,
)
from app.records import CheckpointKind, FileFormat, GroupKind, JobPhase, JobRequest, JobState, ProposalState
from app.tables import CheckpointRow, EpochStateRow, IterationRow, JobRow, ProposalRow

# Casts to Literal types are safe here: a CHECK of the table allows no other text.


def to_figures(document: dict[str, Any] | None) -> Figures | None:
    if document is None:
        return None
    return Figures(**{**document, "latency_ms": LatencyFigures(**document["latency_ms"])})


def _to_uniform(document: dict[str, Any] | None) -> UniformFigures | None:
    if document is None:
        return None
    return UniformFigures(**{**document, "latency_ms": LatencyFigures(**document["latency_ms"])})


def to_job(row: JobRow) -> Job:
    return Job(
        id=row.id,
        owner=row.owner,
        name=row.name,
        state=cast(JobState, row.state),
        requested=cast(JobRequest | None, row.requested),
        phase=cast(JobPhase | None, row.phase),
        model_id=row.model_id,
        dataset_id=row.dataset_id,
        target_id=row.target_id,
        budget=row.budget,
        limits=row.limits,
        settings=row.settings,
        effective=row.effective,
        continues=row.continues,
        from_iteration=row.from_iteration,
        progress=JobProgress(**(row.progress or {})),
        original=to_figures(row.original),
        current=to_figures(row.current),
        result=to_figures(row.result),
        uniform=_to_uniform(row.uniform),
        error=row.error,
        event_counter=row.event_counter,
        attempts=row.attempts,
        instruction_set=row.instruction_set,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def to_iteration(row: IterationRow) -> Iteration:
    kept = row.kept
    return Iteration(
        job_id=row.job_id,
        iteration=row.iteration,
        constraint=row.constraint,
        control=row.control,
        calibration=row.calibration,
        before=row.before,
        after=row.after,
        picked=tuple(row.picked),
        kept=None if kept is None else {group: tuple(indices) for group, indices in kept.items()},
        holdout=row.holdout,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def to_proposal(row: ProposalRow, holdout_images: int | None = None) -> Proposal:
    return Proposal(
        holdout_images=holdout_images,
        judged_again=row.judged_again,
        id=row.id,
        job_id=row.job_id,
        number=row.number,
        iteration=row.iteration,
        group=row.group_id,
        layers=tuple(row.layers),
        kind=cast(GroupKind, row.kind),
        filters_before=row.filters_before,
        filters_after=row.filters_after,
        state=cast(ProposalState, row.state),
        reason=row.reason,
        predicted=row.predicted,
        next_larger=None if row.next_larger is None else NextLarger(**row.next_larger),
        kept=None if row.kept is None else tuple(row.kept),
        further=row.further or {},
        accuracy_before_finetune=row.accuracy_before_finetune,
        accuracy=row.accuracy,
        loss=row.loss,
        delta_accuracy=row.delta_accuracy,
        delta_latency_ms=row.delta_latency_ms,
        slope=row.slope,
        picked=row.picked,
        steps=row.steps,
        attempts=row.attempts,
        seconds=row.seconds,
        rung=row.rung,
        behind=row.behind,
        behind_standard_error=row.behind_standard_error,
        answers=row.answers,
    )


def to_checkpoint(row: CheckpointRow) -> Checkpoint:
    """`files` must be loaded already (the relationship raises otherwise)."""
    kept = row.kept
    return Checkpoint(
        job_id=row.job_id,
        checkpoint=row.checkpoint,
        number=row.number,
        kind=cast(CheckpointKind, row.kind),
        iteration=row.iteration,
        figures=_figures_of(row),
        filters=row.filters,
        kept=None if kept is None else {group: tuple(indices) for group, indices in kept.items()},
        files=tuple(
            CheckpointFile(
                format=cast(FileFormat, file.format), bytes=file.bytes, sha256=file.sha256, accuracy=file.accuracy
            )
            for file in row.files
        ),
        created_at=row.created_at,
    )


def _figures_of(row: CheckpointRow | Row[Any]) -> Figures:
    return Figures(
        latency_ms=LatencyFigures(**(row.latency or {})),
        macs=row.macs,
        params=row.params,
        memory_bytes=row.memory_bytes,
        peak_memory_bytes=row.peak_memory_bytes,
        accuracy=row.accuracy,
        holdout_accuracy=row.holdout_accuracy,
        checkpoint=row.checkpoint,
    )


POINT = tuple(
    CheckpointRow.__table__.c[name]
    for name in (
        "kind", "iteration", "checkpoint", "latency", "macs", "params", "memory_bytes", "peak_memory_bytes", "accuracy",
        "holdout_accuracy",
    )
)  # fmt: skip
"""What `to_point` reads of a checkpoint."""


def to_point(row: Row[Any]) -> CheckpointPoint:
    return CheckpointPoint(kind=cast(CheckpointKind, row.kind), iteration=row.iteration, figures=_figures_of(row))


def to_epoch_state(row: EpochStateRow) -> EpochState:
    return EpochState(epoch=row.epoch, epochs=row.epochs, holdout=row.holdout, sha256=row.sha256)
