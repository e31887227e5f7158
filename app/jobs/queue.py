"""Claiming jobs by a lease that the database's clock judges, and giving them back."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, or_, select, update
from sqlalchemy.orm import Session

from app.database import database_now, take_turns
from app.jobs.journal import Journal
from app.jobs.records import ClaimedJob, Job
from app.jobs.turns import in_turn
from app.leases import abandoned
from app.problem_documents import problem_document
from app.records import LAST_STATES, JobPhase, JobRequest, JobState, Lane
from app.tables import DatasetRow, JobRow, ModelRow, TargetRow
from app.targets.presence import row_is_present

MAX_ATTEMPTS = 3
"""Claims of one job without a single result in between before it is failed: it would kill every worker."""

WAITING: JobPhase = "waiting-for-device"
_ASKED_FOR: dict[JobRequest, JobState] = {"cancel": "cancelled", "pause": "paused"}


class JobQueue:
    """For workers, who serve every owner. Never commits: each call belongs into a unit of work of its own."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._journal = Journal(session)

    def has_work(self, lane: Lane = "long") -> bool:
        """Whether a claim may find or settle anything; a look that locks nothing."""
        now = database_now(self._session)
        open_jobs = select(JobRow.id).where(JobRow.lane == lane, or_(JobRow.state == "queued", abandoned(JobRow, now)))
        return self._session.scalar(open_jobs.limit(1)) is not None

    def claim_next_job(
        self,
        worker_id: str,
        *,
        lane: Lane = "long",
        lease_s: float,
        instruction_set: str | None = None,
        most_running: int | None = None,
    ) -> ClaimedJob | None:
        """The job whose turn it is (app/jobs/turns.py) of those that are queued, or whose lease ran out.

        None when there is none, or when every owner of one has `most_running` already.

        A job whose model, data set or target is still being checked waits, and so does one whose device is away; if one
        was refused, the job fails here. So does a job that was claimed MAX_ATTEMPTS times without a result. What was
        asked of a dead worker (cancel, pause) is done here too. The instruction set is recorded at the first claim; a
        claim elsewhere says so in a message.
        """
        take_turns(self._session, "claim", lane)  # two at once would each count an owner's running jobs without its own
        now = database_now(self._session)
        self._settle(lane, now)
        free = _free(lane, now)
        # SQLite ignores FOR UPDATE: there the unit of work holds the write lock already (app/database.py).
        row = self._session.scalar(
            in_turn(free, now, most_running)
            .limit(1)
            .with_for_update(skip_locked=True, of=JobRow)
            .execution_options(populate_existing=True)
        )
        if row is None:
            return None
        job, dead_worker = self._journal.read(row.id), row.lease_owner
        taken = update(JobRow).where(JobRow.id == job.id, free).values(_claim(worker_id, now, lease_s))
        fence, attempts = self._session.execute(taken.returning(JobRow.fence, JobRow.attempts)).one()
        self._tell_claimed(job, dead_worker, instruction_set)
        resumed = job.started_at is not None
        return ClaimedJob(id=job.id, owner=job.owner, fence=fence, attempts=attempts, resumed=resumed)

    def renew_lease(self, claimed: ClaimedJob, lease_s: float) -> JobRequest | None:
        """Prolongs the lease and answers what a user asked of the job meanwhile. Raises LeaseLost."""
        self._journal.hold(claimed, lease_expires_at=database_now(self._session) + timedelta(seconds=lease_s))
        return self._journal.read(claimed.id).requested

    def hold(self, claimed: ClaimedJob) -> None:
        """Locks the row for what a worker writes elsewhere in the same transaction. Raises LeaseLost."""
        self._journal.hold(claimed)

    def get_claimed(self, claimed: ClaimedJob) -> Job:
        """The job behind the lease. Raises LeaseLost when another worker has it now."""
        self._journal.hold(claimed)
        return self._journal.read(claimed.id)

    def release(self, claimed: ClaimedJob) -> None:
        """Back to the queue, for a worker that shuts down in order; does not count as an attempt. Raises LeaseLost."""
        self._journal.hold(claimed, **_let_go("queued"))
        self._journal.tell_state(claimed.id)

    def give_back(self, worker_id: str) -> None:
        """Back to the queue, or to where it was asked to go, whatever this worker holds; it holds nothing any more."""
        now = database_now(self._session)
        theirs = and_(JobRow.state == "running", JobRow.lease_owner == worker_id)
        for row_id, requested in self._locked(theirs, JobRow.requested):
            self._end(row_id, "queued" if requested is None else _ASKED_FOR[requested], None, now)

    def wait_for_device(self, claimed: ClaimedJob) -> None:
        """Back to the queue, where it keeps its place, until its target's device is there; a cancel or pause that was
        asked for meanwhile is done instead, since no worker may come for long. Raises LeaseLost."""
        self._journal.hold(claimed)
        asked = self._journal.read(claimed.id).requested
        if asked is not None:
            self._end(claimed.id, _ASKED_FOR[asked], None, database_now(self._session))
            return
        self._journal.hold(claimed, **(_let_go("queued") | {"phase": WAITING}))
        self._journal.tell_state(claimed.id)

    def pause(self, claimed: ClaimedJob) -> None:
        """Raises LeaseLost."""
        self._journal.hold(claimed, requested=None, **_let_go("paused"))
        self._journal.tell_state(claimed.id)

    def _tell_claimed(self, job: Job, dead_worker: str | None, instruction_set: str | None) -> None:
        first = job.started_at is None
        set_once: dict[str, Any] = {"started_at": database_now(self._session)} if first else {}
        if job.instruction_set is None:
            set_once["instruction_set"] = instruction_set
        if set_once:
            self._session.execute(update(JobRow).where(JobRow.id == job.id).values(set_once))
        if job.state == "queued":
            self._journal.tell_state(job.id)
        else:
            text = f"worker {dead_worker} stopped answering; another goes on from what is recorded"
            self._journal.tell(job.id, "message", {"text": text})
        if job.instruction_set is not None and instruction_set not in {None, job.instruction_set}:
            text = (
                f"goes on with the instruction set {instruction_set}, begun with {job.instruction_set}: "
                "the result is as good, but not the same to the last bit"
            )
            self._journal.tell(job.id, "message", {"text": text})

    def _settle(self, lane: Lane, now: datetime) -> None:
        """Ends what no worker should claim: refused material, crash loops, requests to a worker that died."""
        left_behind = and_(JobRow.lane == lane, abandoned(JobRow, now))
        for row_id, requested in self._locked(and_(left_behind, JobRow.requested.is_not(None)), JobRow.requested):
            self._end(row_id, _ASKED_FOR[requested], None, now)
        crashing = and_(left_behind, JobRow.attempts >= MAX_ATTEMPTS, JobRow.recorded == JobRow.recorded_at_claim)
        for row_id, attempts in self._locked(crashing, JobRow.attempts):
            detail = f"{attempts} workers in a row died or lost this job before they could record a single result"
            self._end(row_id, "failed", problem_document("worker-lost", "Given up", 500, detail), now)
        refused = and_(JobRow.lane == lane, JobRow.state == "queued", JobRow.model_id == ModelRow.id)
        for row_id, error in self._locked(and_(refused, ModelRow.state == "refused"), ModelRow.error):
            self._end(row_id, "failed", error, now)
        refused = and_(JobRow.lane == lane, JobRow.state == "queued", JobRow.dataset_id == DatasetRow.id)
        for row_id, error in self._locked(and_(refused, DatasetRow.state == "refused"), DatasetRow.error):
            self._end(row_id, "failed", error, now)
        refused = and_(JobRow.lane == lane, JobRow.state == "queued", JobRow.target_id == TargetRow.id)
        for row_id, error in self._locked(and_(refused, TargetRow.state == "refused"), TargetRow.error):
            self._end(row_id, "failed", error, now)

    def _locked(self, where: ColumnElement[bool], column: Any) -> list[tuple[str, Any]]:
        found = select(JobRow.id, column).where(where).with_for_update(skip_locked=True, of=JobRow)
        return [(row[0], row[1]) for row in self._session.execute(found)]

    def _end(self, job_id: str, state: JobState, error: dict[str, Any] | None, now: datetime) -> None:
        # The fence goes up: a worker that was only slow finds its lease lost.
        values = {"fence": JobRow.fence + 1, "requested": None, "error": error, **_let_go(state)}
        if state in LAST_STATES:
            values["finished_at"] = now
        self._session.execute(update(JobRow).where(JobRow.id == job_id).values(values))
        self._journal.tell_state(job_id)


def _free(lane: Lane, now: datetime) -> ColumnElement[bool]:
    ready = and_(
        JobRow.model_id.in_(select(ModelRow.id).where(ModelRow.state == "ready")),
        JobRow.dataset_id.in_(select(DatasetRow.id).where(DatasetRow.state == "ready")),
        JobRow.target_id.not_in(select(TargetRow.id).where(TargetRow.state == "checking")),
    )
    present = JobRow.target_id.in_(select(TargetRow.id).where(row_is_present(now)))
    queued = and_(JobRow.state == "queued", or_(JobRow.phase.is_distinct_from(WAITING), present))
    return and_(JobRow.lane == lane, ready, or_(queued, abandoned(JobRow, now)))


def _claim(worker_id: str, now: datetime, lease_s: float) -> dict[str, Any]:
    return {
        "state": "running",
        "fence": JobRow.fence + 1,
        "lease_owner": worker_id,
        "lease_expires_at": now + timedelta(seconds=lease_s),
        "attempts": case((JobRow.recorded > JobRow.recorded_at_claim, 1), else_=JobRow.attempts + 1),
        "recorded_at_claim": JobRow.recorded,
    }


def _let_go(state: JobState) -> dict[str, Any]:
    return {"state": state, "phase": None, "lease_owner": None, "lease_expires_at": None, "attempts": 0}
