"""One lane: claim the work whose turn it is, do it, claim the next."""

import logging
import os
import threading
from functools import partial

from structlog.contextvars import bound_contextvars

from adapt.latency.conditions import instruction_set, read_cpu_info
from app.database import DATABASE_AWAY, reading, unit_of_work
from app.jobs.queue import JobQueue
from app.records import TaskLane
from app.settings import Settings
from app.storage import StorageError
from app.tasks.queue import TaskQueue
from workers.adaptation import run_job
from workers.housekeeping import Housekeeping
from workers.leaving import end_at_signal, leave_in_time
from workers.service import Service, open_service
from workers.tasks import refuse_given_up, run_task

log = logging.getLogger(__name__)

IDLE_S = 0.5
LONGEST_PAUSE_S = 15.0


def run_lane(lane: TaskLane, settings: Settings) -> None:
    """Serves `lane` until SIGTERM, SIGINT or the end of the host."""
    ending = end_at_signal()
    with open_service(settings, lane, os.getpid()) as service:
        leave_in_time(service, ending)
        serve = _serve_job if lane == "long" else partial(_serve_task, lane)
        housekeeping = Housekeeping(service)
        pause_s = IDLE_S
        while not ending.is_set():
            try:
                busy = serve(service, ending)
                if not busy and lane == "short":
                    housekeeping.when_idle()
                pause_s = IDLE_S
            except (*DATABASE_AWAY, StorageError) as error:  # what was claimed is claimed again, and goes on
                pause_s, busy = min(2 * pause_s, LONGEST_PAUSE_S), False
                why = getattr(error, "why", None) or getattr(error, "orig", None) or error
                log.error("database or storage did not answer; trying again in %g s: %s", pause_s, why)
            if not busy:
                ending.wait(pause_s)


def _serve_job(service: Service, ending: threading.Event) -> bool:
    with reading(service.sessions) as session:
        if not JobQueue(session).has_work():
            return False
    with unit_of_work(service.sessions) as session:
        claimed = JobQueue(session).claim_next_job(
            service.worker_id,
            lease_s=service.settings.lease_s,
            instruction_set=instruction_set(read_cpu_info()),
            most_running=service.settings.max_running_jobs or None,
        )
    if claimed is None:
        return False
    with bound_contextvars(job_id=claimed.id):
        log.info("%s claimed, attempt %d", claimed.id, claimed.attempts)
        run_job(claimed, service, shutdown=ending.is_set)
    return True


def _serve_task(lane: TaskLane, service: Service, ending: threading.Event) -> bool:
    with reading(service.sessions) as session:
        if not TaskQueue(session).has_work(lane):
            return False
    with unit_of_work(service.sessions) as session:
        claimed = TaskQueue(session).claim_next_task(service.worker_id, lane=lane, lease_s=service.settings.lease_s)
        refuse_given_up(session)
    if claimed is None:
        return False
    with bound_contextvars(task_id=claimed.id):
        log.info("%s claimed: %s", claimed.id, claimed.kind)
        run_task(claimed, service, shutdown=ending.is_set)
    return True
