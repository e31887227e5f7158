"""What is known of a model on a target, and the one task that finds out what is not."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from adapt.budget import Asked
from adapt.latency.staircase import assumed
from adapt.presets import settings_to_document
from adapt.reach import least_counts
from adapt.rounding import rounded
from adapt.spec import Settings, TrainingSpeed
from app.database import Sessions, database_now, reading, unit_of_work
from app.datasets.repository import DatasetRepository
from app.feasibility.assessment import RETRY_AFTER_S, Feasibility, KnownLatency, Pace, assess
from app.feasibility.duration import image_counts
from app.models.records import UNTRAINED, Structure
from app.models.repository import ModelRepository
from app.records import Caller
from app.targets.lookup import LookupRepository
from app.targets.networks import NetworkRepository, structure_key
from app.targets.records import Target
from app.targets.repository import TargetRepository
from app.targets.staircases import StaircaseRepository
from app.tasks.queue import TaskQueue
from app.tasks.records import Task

PROFILE_TASK = "profile"
"""Kind of the task that profiles a model on a target, and then does what MEASURE_TASK does. Its payload names both,
and the settings asked about."""
MEASURE_TASK = "measure-reach"
"""Kind of the task that measures the original and the least networks that some settings can reach, and the step of
channel counts where that is to be found: a few seconds where the table is there. Payload as above."""
TIMING_TASK = "training-speed"
"""Kind of the task that times a training step of a model, once it is checked. Its payload names the model."""
TRAINING_SPEED = "training_speed"
"""Key of a TrainingSpeed in the result of that, or of a profile of a model."""
FAILURE_STANDS_FOR = timedelta(minutes=5)


def profile_key(model_id: str, target_id: str) -> str:
    """Of the task: two who ask for one model on one target get one profile."""
    return f"{model_id}/{target_id}"


@dataclass(frozen=True, kw_only=True)
class _Known:
    """An answer, and what is left to find out: a kind of task, its key, and how it failed lately if it did."""

    answer: Feasibility
    missing: str | None
    key: str
    failed: Task | None


class FeasibilityService:
    """Threads may share one."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def check(
        self,
        caller: Caller,
        model_id: str,
        target_id: str,
        settings: Settings,
        asked: Asked,
        dataset_id: str | None = None,
    ) -> Feasibility:
        """What `validate_only` answers. Where the latency is not known one task is queued, and the answer is that.

        Raises ModelNotFound, TargetNotFound, ScheduleTooShort, TableDoesNotCover.
        """
        known = self._assess(caller, model_id, target_id, settings, asked, dataset_id)
        answer, failed = known.answer, known.failed
        if known.missing is None:
            return answer
        if failed is not None:
            return _with_failure(answer, failed)
        payload = {"model": model_id, "target": target_id, "settings": settings_to_document(settings)}
        self._queue(caller, known.missing, known.key, payload)
        return answer if known.missing == PROFILE_TASK else _still_measured(answer)

    def refuse_unreachable(
        self, caller: Caller, model_id: str, target_id: str, settings: Settings, asked: Asked
    ) -> None:
        """For a new job: raises BudgetUnreachable where that is certain already; otherwise the job itself finds out
        before it trains anything. Also raises what `check` raises."""
        answer = self._assess(caller, model_id, target_id, settings, asked, None).answer
        if answer.certain and answer.unreachable is not None:
            raise answer.unreachable

    def _assess(
        self,
        caller: Caller,
        model_id: str,
        target_id: str,
        settings: Settings,
        asked: Asked,
        dataset_id: str | None,
    ) -> _Known:
        with reading(self._sessions) as session:
            structure = ModelRepository(session).get_structure(caller, model_id)
            target = TargetRepository(session).get_target(caller, target_id)
            numbered, note, guessed = _rounded(session, target, settings, asked)
            groups = structure.groups or ()
            latency = _known_latency(session, target, model_id, structure, numbered)
            missing = _missing(target, asked, latency, guessed=guessed)
            key = profile_key(model_id, target_id)
            if missing == MEASURE_TASK:
                key += "/auto" if guessed else f"/{structure_key(least_counts(groups, numbered)[0])}"
            task = None if missing is None else TaskQueue(session).find_latest(missing, key)
            failed = task if task is not None and _failed_lately(session, task, target) else None
            pace = _pace(session, caller, model_id, target_id, dataset_id, settings)
        answer = assess(structure, numbered, asked, latency, pace)
        if answer.retry_after_seconds is None and answer.certain and answer.feasible is False:
            missing = None  # a count is over its limit already
        if structure.groups is None:
            missing = None  # which are still being looked for
        return _Known(answer=replace(answer, reason=answer.reason or note), missing=missing, key=key, failed=failed)

    def _queue(self, caller: Caller, kind: str, key: str, payload: dict[str, Any]) -> None:
        with unit_of_work(self._sessions) as session:
            model = ModelRepository(session).get_model(caller, payload["model"])
            target = TargetRepository(session).get_target(caller, payload["target"])
            # What is still checked is profiled when it is asked for again.
            if model.state == "ready" and target.state != "checking":
                TaskQueue(session).enqueue_task(caller.id, kind, key, payload, lane="measuring")


def _missing(target: Target, asked: Asked, latency: KnownLatency | None, *, guessed: bool) -> str | None:
    """The kind of task that finds out what is not known."""
    if "latency_ms" not in asked or target.kind == "table":
        return None
    if latency is None:
        return PROFILE_TASK
    return MEASURE_TASK if guessed or latency.original is None or not latency.least else None


def _known_latency(
    session: Session, target: Target, model_id: str, structure: Structure, settings: Settings
) -> KnownLatency | None:
    """None also where a profile lacks operators of the model, as one that another version took may: a job, too, would
    take it again."""
    table = LookupRepository(session).find_table(target.id, model_id)
    if table is None:
        return None
    if target.kind == "table":
        return KnownLatency(table=table, fixed=True)
    if table.missing(structure.graph):
        return None
    groups = structure.groups or ()
    measured = NetworkRepository(session)
    least = [measured.find_network(target.id, model_id, counts) for counts in least_counts(groups, settings)]
    return KnownLatency(
        table=table,
        fixed=False,
        original=measured.find_network(target.id, model_id, {group.id: group.channels for group in groups}),
        least=tuple(found for found in least if found is not None) if None not in least else (),
    )


def _rounded(session: Session, target: Target, settings: Settings, asked: Asked) -> tuple[Settings, str | None, bool]:
    """With a number in place of "auto"; in words how that was come by where the settings left it open; and whether it
    is a guess that a measurement would replace."""
    if settings.round_channels_to != "auto":
        return settings, None, False
    if "latency_ms" not in asked or target.kind == "table":
        why = "no latency is budgeted" if "latency_ms" not in asked else "the target is a fixed table"
        known, guessed = assumed(f"round_channels_to is auto, and {why}"), False
    elif (found := StaircaseRepository(session).find_staircase(target.id)) is not None:
        known, guessed = found, False
    else:
        known, guessed = assumed("round_channels_to is auto, and the target's step is not measured yet"), True
    return rounded(settings, known), known.reason, guessed


def _pace(
    session: Session, caller: Caller, model_id: str, target_id: str, dataset_id: str | None, settings: Settings
) -> Pace | None:
    """From the newest task that timed a training step, and the data set as the job will cut it."""
    queue = TaskQueue(session)
    tasks = (
        queue.find_latest(PROFILE_TASK, profile_key(model_id, target_id)),
        queue.find_latest(TIMING_TASK, model_id),
    )
    speeds = [task.result[TRAINING_SPEED] for task in tasks if task and task.result and TRAINING_SPEED in task.result]
    dataset = None if dataset_id is None else DatasetRepository(session).find_dataset(caller, dataset_id)
    images = None if dataset is None else image_counts(dataset.splits, settings)
    if not speeds or images is None:
        return None
    model = ModelRepository(session).get_model(caller, model_id)
    return Pace(speed=TrainingSpeed(**speeds[0]), images=images, pretrains=model.format == UNTRAINED)


def _failed_lately(session: Session, task: Task, target: Target) -> bool:
    if task.state != "failed" or task.finished_at is None:
        return False
    if target.kind == "agent" and target.last_seen_at is not None and target.last_seen_at > task.finished_at:
        return False  # the device was away, or was started again since
    return database_now(session) - task.finished_at < FAILURE_STANDS_FOR


def _still_measured(answer: Feasibility) -> Feasibility:
    """What is predicted so far decides nothing."""
    return replace(
        answer,
        feasible=None,
        basis=None,
        iterations_estimate=None,
        seconds_estimate=None,
        reason="the least that these settings can reach is being measured on this target",
        retry_after_seconds=RETRY_AFTER_S,
        certain=False,
        unreachable=None,
    )


def _with_failure(answer: Feasibility, failed: Task) -> Feasibility:
    """Without a table nothing is known; with one its predictions are all there is, and it is said why."""
    detail = (failed.error or {}).get("detail", "no reason was recorded")
    why = f"measuring this model on this target failed: {detail}"
    if answer.feasible is not None:
        return replace(answer, reason=f"{answer.reason}; {why}" if answer.reason else why)
    return replace(answer, reason=why, retry_after_seconds=round(FAILURE_STANDS_FOR.total_seconds()))
