"""Jobs and their parts as the JSON objects that REST answers and events carry: one spelling for both."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from adapt.noise import standard_error
from app.jobs.records import Checkpoint, Event, Figures, Iteration, Job, Proposal
from app.records import fields_of
from app.timestamps import rfc3339

_NOT_STORED = {"distill": False, "compare": "none", "search": "exact"}
"""Echoed of a job that does not store them: when it was submitted there was nothing else."""

_PARTS = ("events", "iterations", "proposals", "checkpoints", "family", "curve", "latency", "report")


def job_document(job: Job) -> dict[str, Any]:
    here = f"/v1/jobs/{job.id}"
    links = {"self": here} | {part: f"{here}/{part}" for part in _PARTS}
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


def proposal_document(proposal: Proposal) -> dict[str, Any]:
    document = fields_of(proposal) | {"accuracy_standard_error": _error_of(proposal.accuracy, proposal.holdout_images)}
    document["next_larger"] = None if proposal.next_larger is None else fields_of(proposal.next_larger)
    document["judged_again"] = _told_again(proposal.judged_again)
    del document["job_id"], document["number"], document["answers"]
    first = ("id", "iteration", "group")
    return {key: document[key] for key in first} | {
        key: list(value) if isinstance(value, tuple) else value for key, value in document.items() if key not in first
    }


def proposal_fields(names: Sequence[str], rows: Iterable[Sequence[Any]], images: int | None) -> list[dict[str, Any]]:
    """Only these of `proposal_document`, from `rows` of their columns: a page asks for thousands of proposals at a
    time. `images`: of the hold-out."""
    found = [dict(zip(names, row, strict=True)) for row in rows]
    for name in names:
        if (told := TOLD_OTHERWISE.get(name)) is not None:
            for document in found:
                document[name] = told(document[name], images)
    return found


TOLD_OTHERWISE: dict[str, Callable[[Any, int | None], Any]] = {
    "accuracy_standard_error": lambda accuracy, images: _error_of(accuracy, images),
    "holdout_images": lambda _, images: images,
    "judged_again": lambda again, _: _told_again(again),
    "further": lambda further, _: further or {},
}
"""What is not as it is stored: field -> the value of its column as it is told."""


def _told_again(again: dict[str, Any] | None) -> dict[str, Any] | None:
    return again and again | {"standard_error": standard_error(again["accuracy"], again["images"])}


def _error_of(accuracy: float | None, images: int | None) -> float | None:
    return None if accuracy is None or images is None else standard_error(accuracy, images)


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
