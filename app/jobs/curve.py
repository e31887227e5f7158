"""The curve of a search: what each of its networks needs against what it scores, one point a network."""

from collections.abc import Iterator, Sequence
from typing import Any

from app.jobs.family import within_of
from app.jobs.records import CheckpointPoint, Figures, Job
from app.records import PointKind, fields_of

NO_FIGURES = Figures()


def curve_document(job: Job, own: Sequence[CheckpointPoint], members: Sequence[Job]) -> dict[str, Any]:
    """From the most to the least of what the job has a budget for; what has no figure yet comes last."""
    resource = "latency_ms" if "latency_ms" in job.budget else next(iter(job.budget))
    points = [_point(one.kind, job, one.iteration, one.figures) for one in own]
    for member in members:
        points += _of_member(member)
    points.sort(key=lambda point: (-point[0].get(resource, -1.0), point[1]["iteration"]))
    return {"job": job.id, "resource": resource, "data": [document for _, document in points]}


Point = tuple[dict[str, Any], dict[str, Any]]
"""Its figures, by which points are sorted, and what is told of it."""


def _of_member(member: Job) -> Iterator[Point]:
    iteration = member.from_iteration or 0
    yield _point("member", member, iteration, member.result or NO_FIGURES)
    if member.uniform is not None:
        yield _point("uniform", member, iteration, member.uniform)


def _point(kind: PointKind, job: Job, iteration: int, figures: Figures) -> Point:
    tested = kind != "pick"  # a pick is chosen by, and reported on, the hold-out alone
    document = {
        "kind": kind,
        "job": job.id,
        "state": job.state,
        "iteration": iteration,
        "checkpoint": figures.checkpoint,
        "latency_ms": fields_of(figures.latency_ms),
        "macs": figures.macs,
        "params": figures.params,
        "memory_bytes": figures.memory_bytes,
        "holdout_accuracy": figures.holdout_accuracy if tested else figures.accuracy,
        "test_accuracy": figures.accuracy if tested else None,
    }
    return within_of(figures, upper=False), document
