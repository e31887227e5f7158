"""What else is written with a job's last state, whoever ends it: messages to webhooks, and the counts."""

from sqlalchemy.orm import Session

from app.counters import JOB_DURATIONS, JOB_SECONDS, JOBS, Counters
from app.jobs.records import Job
from app.webhooks.outbox import Outbox

DURATION_BUCKETS_S = (10, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 259_200)
BEYOND = "+Inf"


def tell_end(session: Session, job: Job) -> None:
    """In the transaction that ends the job: a crash can lose neither."""
    Outbox(session).announce(job)
    counters = Counters(session)
    counters.add(JOBS, job.state)
    if job.started_at is not None and job.finished_at is not None:
        seconds = (job.finished_at - job.started_at).total_seconds()
        counters.add(JOB_DURATIONS, f"{job.state}/{_bucket(seconds)}")
        counters.add(JOB_SECONDS, job.state, seconds)


def _bucket(seconds: float) -> str:
    return next((str(limit) for limit in DURATION_BUCKETS_S if seconds <= limit), BEYOND)
