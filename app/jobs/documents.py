"""Jobs and their parts as the JSON objects that REST answers and events carry: one spelling for both."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from adapt.noise import standard_error
from app.jobs.records import Checkpoint, Event, Figures, Iteration, Job, NextLarger, Proposal
from app.records import fields_of
from app.timestamps import rfc3339

_NOT_STORED = {"distill": False, "compare": "none", "search": "exact"}
"""Echoed of a job that does not store them: when it was submitted there was nothing else."""
_FIRST = ("id", "iteration", "group")
_OURS = {"job_id", "number", "answers"}
PROPOSAL_FIELDS = (
    *_FIRST,
    *(field.name for field in fields(Proposal) if field.name not in {*_FIRST, *_OURS}),
    "accuracy_standard_error",
)


def job_document(job: Job) -> dict[str, Any]:
    here = f"/v1/jobs/{job.id}"
    links = {"self": here}
    links |= {
        part: f"{here}/{part}" for part in ("events", "iterations", "proposals", "checkpoints", "family", "curve")
    }
    return {
        "id": job.id,
        "name": job.name,
        "state": job.state,
        "requested": job.requested,
        "phase": job.phase,
        "model": job.model_id,
        "dataset": job.dataset_id,
        "target": job.target_id,
        "budget": job.budget,
        "limits": job.limits,
        "settings": _NOT_STORED | job.settings,
        "effective": job.effective,
        "continues": job.continues,
        "from_iteration": job.from_iteration,
        "progress": fields_of(job.progress),
        "original": figures_document(job.original),
        "current": figures_document(job.current),
        "result": figures_document(job.result),
        "uniform": figures_document(job.uniform),
        "error": job.error,
        "created_at": rfc3339(job.created_at),
        "started_at": rfc3339(job.started_at),
        "finished_at": rfc3339(job.finished_at),
        "links": links,
    }


def figures_document(figures: Figures | None) -> dict[str, Any] | None:
    return None if figures is None else fields_of(figures) | {"latency_ms": fields_of(figures.latency_ms)}


def iteration_document(iteration: Iteration) -> dict[str, Any]:
    return {
        "iteration": iteration.iteration,
        "constraint": iteration.constraint,
        "control": iteration.control and {key: iteration.control[key] for key in ("accuracy", "loss")},
        "calibration": iteration.calibration,
        "before": iteration.before,
        "after": iteration.after,
        "holdout": iteration.holdout,
        "picked": list(iteration.picked),
        "started_at": rfc3339(iteration.started_at),
        "finished_at": rfc3339(iteration.finished_at),
    }


def proposal_document(proposal: Proposal, names: Sequence[str] = PROPOSAL_FIELDS) -> dict[str, Any]:
    """`names`: only these, without making the others: a page asks for thousands of proposals at a time."""
    return {name: _proposal_field(proposal, name) for name in names}


def _proposal_field(proposal: Proposal, name: str) -> Any:
    if name == "accuracy_standard_error":
        return _standard_error(proposal)
    value = getattr(proposal, name)
    if name == "judged_again" and value is not None:
        return value | {"standard_error": standard_error(value["accuracy"], value["images"])}
    if isinstance(value, NextLarger):
        return fields_of(value)
    return list(value) if isinstance(value, tuple) else value


def _standard_error(proposal: Proposal) -> float | None:
    if proposal.accuracy is None or proposal.holdout_images is None:
        return None
    return standard_error(proposal.accuracy, proposal.holdout_images)


def checkpoint_document(checkpoint: Checkpoint) -> dict[str, Any]:
    figures = fields_of(checkpoint.figures) | {"latency_ms": fields_of(checkpoint.figures.latency_ms)}
    del figures["checkpoint"]
    here = f"/v1/jobs/{checkpoint.job_id}/checkpoints/{checkpoint.checkpoint}/file"
    return {
        "checkpoint": checkpoint.checkpoint,
        "kind": checkpoint.kind,
        "iteration": checkpoint.iteration,
        **figures,
        "filters": dict(checkpoint.filters),
        "files": [fields_of(file) | {"url": f"{here}?format={file.format}"} for file in checkpoint.files],
        "created_at": rfc3339(checkpoint.created_at),
    }


def event_document(event: Event) -> dict[str, Any]:
    return {
        "id": event.number,
        "event": event.event,
        "job": event.job_id,
        "at": rfc3339(event.at),
        "data": event.data,
    }
