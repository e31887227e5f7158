"""One job from claim to last state: the search driven, every event recorded before the next is asked for."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from adapt.assembly import assembled, check_is_there
from adapt.data.dataset import Dataset
from adapt.errors import AdaptError, Stopped
from adapt.events import Message
from adapt.executors.ray import Cluster
from adapt.loop import adapt_network, finish_pick
from adapt.search import Progress
from app.database import DATABASE_AWAY, unit_of_work
from app.jobs.queue import JobQueue
from app.jobs.recorder import JobRecorder
from app.jobs.records import ClaimedJob
from app.leases import LeaseLost
from app.problems import problem_of
from app.quotas import JobTimeExceeded
from app.storage import BlobMissing, StorageError, room_needed
from workers.assembly import Material, read_dataset, read_material
from workers.checkpoints import measured_by
from workers.job_clock import JobClock
from workers.lease import Reason, StopSignal, held_lease, persistently
from workers.metering import FindStaircase, MeterOf, meter_of
from workers.pretraining import with_trained_network
from workers.progress import continued_progress, read_epoch, read_outcomes, read_progress
from workers.reach import refuse_out_of_reach
from workers.recording import Recording
from workers.remote_device import DeviceAway
from workers.reporting import Reporter
from workers.service import Service

log = logging.getLogger(__name__)


def run_job(claimed: ClaimedJob, service: Service, shutdown: Callable[[], bool]) -> None:
    """Runs the job until it ends, is asked to stop, or is lost. Whatever happens is in its record.

    Raises one of DATABASE_AWAY, or StorageError: no fault of the job, which is left as it is recorded.
    """
    signal, clock = StopSignal(shutdown), JobClock(claimed)
    service = service.at_work(lambda session: JobQueue(session).hold(claimed))

    def renew() -> Reason | None:
        with clock.noting() as add_time, unit_of_work(service.sessions) as session:
            asked = JobQueue(session).renew_lease(claimed, service.settings.lease_s)
            ran_s = add_time(session)
        return asked or ("time" if 0 < service.settings.max_job_s <= ran_s else None)

    with held_lease(renew, signal, lease_s=service.settings.lease_s):
        persistently(partial(_work_on, claimed, service, signal, clock), renew, signal)


def _work_on(claimed: ClaimedJob, service: Service, signal: StopSignal, clock: JobClock) -> None:
    """Raises DATABASE_AWAY and StorageError, and nothing else."""
    try:
        with room_needed():
            _search(claimed, service, signal)
    except LeaseLost:
        log.warning("%s: the lease is another worker's now; nothing more is written", claimed.id)
    except Stopped:
        _leave(claimed, service, signal, clock)
    except DeviceAway as error:
        _wait_for_device(claimed, service, error)
    except DATABASE_AWAY:
        raise
    except BlobMissing as error:
        _fail(claimed, service, error)  # it will not come back
    except StorageError:
        with suppress(LeaseLost), unit_of_work(service.sessions) as session:
            JobQueue(session).release(claimed)
        raise  # whoever claims next waits first; the job goes on from its record
    except Exception as error:
        if not isinstance(error, AdaptError):
            log.exception("%s failed", claimed.id)
        _fail(claimed, service, error)


def _search(claimed: ClaimedJob, service: Service, signal: StopSignal) -> None:
    if signal():
        raise Stopped("stopped before it was begun")
    with unit_of_work(service.sessions) as session:
        job = JobQueue(session).get_claimed(claimed)
    material = read_material(job, service)
    check_is_there(material.settings)  # before anything is trained for it
    with read_dataset(job, service) as dataset:
        refuse_out_of_reach(claimed, material, service, signal)
        material = with_trained_network(claimed, material, dataset, service, signal)
        with meter_of(claimed, material, service, signal) as (meter, staircase):
            _adapt(claimed, material, dataset, meter, staircase, service, signal)


def _adapt(
    claimed: ClaimedJob,
    material: Material,
    dataset: Dataset,
    meter: MeterOf,
    staircase: FindStaircase | None,
    service: Service,
    signal: StopSignal,
) -> None:
    with assembled(
        material.network,
        material.groups,
        dataset,
        material.model.normalization,
        asked=material.asked,
        settings=material.settings,
        meters=lambda images: {"latency_ms": meter(images)},
        staircase=staircase,
        lock_directory=service.lock_directory,
        stop=signal,
        recorded=read_outcomes(material.record),
        classes=material.model.classes,
        cluster=_cluster(claimed, service),
    ) as search:
        recording = Recording(claimed, service.sessions, service.storage, material, measured_by(search))
        for note in search.notes:
            recording.write(Message(text=note))
        reporter = Reporter(claimed, service.sessions, material)
        follow = adapt_network if material.job.from_iteration is None else finish_pick
        for event in follow(search, _progress(material, service)):
            recording.write(event)
            reporter.tell(event)


def _cluster(claimed: ClaimedJob, service: Service) -> Cluster:
    """Of the executor ray; the job tells when it goes away and when it is back."""

    def tell(text: str) -> None:
        with unit_of_work(service.sessions) as session:
            JobRecorder(session).add_message(claimed, text)

    return Cluster(address=service.settings.ray_address, patience_s=service.settings.ray_patience_s, tell=tell)


def _progress(material: Material, service: Service) -> Progress:
    progress = read_progress(material.record, service.storage)
    if progress.network is None and material.before is not None:
        own = replace(progress, epoch=read_epoch(material.record, service.storage))
        return continued_progress(material.before, service.storage, own, material.steps_before)
    return replace(progress, steps_before=material.steps_before)


def _leave(claimed: ClaimedJob, service: Service, signal: StopSignal, clock: JobClock) -> None:
    """Ends the lease in the way that was asked for. Raises nothing when the lease is lost already."""
    reason = signal.reason
    try:
        with clock.noting() as add_time, unit_of_work(service.sessions) as session:
            if reason != "lost":
                add_time(session)
            if reason == "cancel":
                JobRecorder(session).finish(claimed, "cancelled")
            elif reason == "pause":
                JobQueue(session).pause(claimed)
            elif reason == "time":
                error = JobTimeExceeded(service.settings.max_job_s)
                JobRecorder(session).finish(claimed, "failed", problem_of(error))
            elif reason == "shutdown":
                JobQueue(session).release(claimed)
    except LeaseLost:
        reason = "lost"
    log.info("%s left: %s", claimed.id, reason)


def _wait_for_device(claimed: ClaimedJob, service: Service, error: DeviceAway) -> None:
    """Others may use this worker meanwhile; the job goes on from its record once the device is back."""
    try:
        with unit_of_work(service.sessions) as session:
            JobQueue(session).wait_for_device(claimed)
    except LeaseLost:
        log.warning("%s: the lease was lost while its device was away", claimed.id)
    log.info("%s waits: %s", claimed.id, error)


def _fail(claimed: ClaimedJob, service: Service, error: Exception) -> None:
    try:
        with unit_of_work(service.sessions) as session:
            JobRecorder(session).finish(claimed, "failed", problem_of(error))
    except LeaseLost:
        log.warning("%s failed, but the lease was lost before that could be written", claimed.id)
    log.info("%s failed: %s", claimed.id, error)
