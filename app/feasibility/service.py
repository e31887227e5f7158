"""What is known of a model on a target, and the one task that finds out what is not."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from adapt.budget import Asked
from adapt.latency.staircase import assumed
from adapt.latency.table import LookupTable
from adapt.rounding import rounded
from adapt.spec import Settings
from app.database import Sessions, database_now, reading, unit_of_work
from app.feasibility.assessment import Feasibility, KnownLatency, MeasuredOnce, assess
from app.models.repository import ModelRepository
from app.records import Caller
from app.targets.lookup import LookupRepository
from app.targets.records import Target
from app.targets.repository import TargetRepository
from app.targets.staircases import StaircaseRepository
from app.tasks.queue import TaskQueue
from app.tasks.records import Task

PROFILE_TASK = "profile"
"""Kind of the task that profiles a model on a target. Its payload names both.

It stores its table by `LookupRepository.store_profile` and ends with `profile_result`.
"""
FAILURE_STANDS_FOR = timedelta(minutes=5)


def profile_key(model_id: str, target_id: str) -> str:
    """Of the task: two who ask for one model on one target get one profile."""
    return f"{model_id}/{target_id}"


def profile_result(measured: MeasuredOnce, table: LookupTable, seconds: float) -> dict[str, Any]:
    """The result with which a worker finishes a profile task."""
    return {
        "conditions": table.conditions.fingerprint(),
        "original_ms": measured.original_ms,
        "smallest_ms": measured.smallest_ms,
        "round_channels_to": measured.round_channels_to,
        "min_channels": measured.min_channels,
        "seconds": seconds,
    }


class FeasibilityService:
    """Threads may share one."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def check(self, caller: Caller, model_id: str, target_id: str, settings: Settings, asked: Asked) -> Feasibility:
        """What `validate_only` answers. Where the latency is not known one profile is queued, and the answer is that.

        Raises ModelNotFound, TargetNotFound, ScheduleTooShort, TableDoesNotCover.
        """
        answer, failed = self._assess(caller, model_id, target_id, settings, asked)
        if answer.feasible is not None or answer.retry_after_seconds is None:
            return answer
        if failed is not None:
            return _with_failure(answer, failed)
        if "latency_ms" in asked:
            self._queue_profile(caller, model_id, target_id)
        return answer

    def refuse_unreachable(
        self, caller: Caller, model_id: str, target_id: str, settings: Settings, asked: Asked
    ) -> None:
        """For a new job: raises BudgetUnreachable where that is certain already; otherwise the job itself finds out
        before it trains anything. Also raises what `check` raises."""
        answer, _ = self._assess(caller, model_id, target_id, settings, asked)
        if answer.certain and answer.unreachable is not None:
            raise answer.unreachable

    def _assess(
        self, caller: Caller, model_id: str, target_id: str, settings: Settings, asked: Asked
    ) -> tuple[Feasibility, Task | None]:
        """The answer, and the profile that failed lately, if one did."""
        with reading(self._sessions) as session:
            structure = ModelRepository(session).get_structure(caller, model_id)
            target = TargetRepository(session).get_target(caller, target_id)
            profile = TaskQueue(session).find_latest(PROFILE_TASK, profile_key(model_id, target_id))
            latency = _known_latency(session, target, model_id, profile)
            failed = profile if profile is not None and _failed_lately(session, profile) else None
            settings, note = _rounded(session, target, settings, asked)
        answer = assess(structure, settings, asked, latency)
        return replace(answer, reason=answer.reason or note), failed

    def _queue_profile(self, caller: Caller, model_id: str, target_id: str) -> None:
        payload = {
            "model": model_id,
            "target": target_id,
        }
        with unit_of_work(self._sessions) as session:
            model = ModelRepository(session).get_model(caller, model_id)
            target = TargetRepository(session).get_target(caller, target_id)
            # What is still checked is profiled when it is asked for again.
            if model.state == "ready" and target.state != "checking":
                TaskQueue(session).enqueue_task(caller.id, PROFILE_TASK, profile_key(model_id, target_id), payload)


def _known_latency(session: Session, target: Target, model_id: str, profile: Task | None) -> KnownLatency | None:
    table = LookupRepository(session).find_table(target.id, model_id)
    if table is None:
        return None
    if target.kind == "table":
        return KnownLatency(table=table, fixed=True)
    measured = None
    if profile is not None and profile.state == "succeeded" and profile.result is not None:
        found = profile.result
        if found["conditions"] == table.conditions.fingerprint():
            measured = MeasuredOnce(
                original_ms=found["original_ms"],
                smallest_ms=found["smallest_ms"],
                round_channels_to=found["round_channels_to"],
                min_channels=found["min_channels"],
            )
    return KnownLatency(table=table, fixed=False, measured=measured)


def _rounded(session: Session, target: Target, settings: Settings, asked: Asked) -> tuple[Settings, str | None]:
    """With a number in place of "auto", and in words how that was come by where the settings left it open."""
    if settings.round_channels_to != "auto":
        return settings, None
    known = StaircaseRepository(session).find_staircase(target.id) if "latency_ms" in asked else None
    if known is None:
        why = "no latency is budgeted" if "latency_ms" not in asked else "the target's step is not measured yet"
        known = assumed(f"round_channels_to is auto, and {why}")
    return rounded(settings, known), known.reason


def _failed_lately(session: Session, profile: Task) -> bool:
    if profile.state != "failed" or profile.finished_at is None:
        return False
    return database_now(session) - profile.finished_at < FAILURE_STANDS_FOR


def _with_failure(answer: Feasibility, failed: Task) -> Feasibility:
    detail = (failed.error or {}).get("detail", "no reason was recorded")
    wait_s = round(FAILURE_STANDS_FOR.total_seconds())
    return replace(answer, reason=f"measuring this model on this target failed: {detail}", retry_after_seconds=wait_s)
