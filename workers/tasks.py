"""Short work: what is checked of a model, a data set or a target, and what is measured of a model on a target."""

import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from adapt.agreement import largest_difference
from adapt.data.decoding import decode_listed, list_images
from adapt.errors import AdaptError, DatasetRefused, NetworkRefused, Stopped
from adapt.graph.network import Network
from adapt.groups import channel_groups
from adapt.latency.machine_lock import MachineLock
from adapt.latency.trial import try_out
from adapt.presets import settings_from_document
from adapt.training.speed import measure_training_speed
from app.agent.orders import OrderBook
from app.blobs import discard
from app.database import DATABASE_AWAY, reading, unit_of_work
from app.datasets.intake import DECODE_TASK, keep_decoded
from app.datasets.records import Dataset
from app.datasets.repository import DatasetRepository
from app.feasibility.service import MEASURE_TASK, PROFILE_TASK, TIMING_TASK, TRAINING_SPEED
from app.leases import LeaseLost
from app.models.repository import CHECK_TASK, ModelRepository
from app.problems import problem_of
from app.read_limits import ReadLimits
from app.records import Caller
from app.storage import BlobMissing, StorageError, room_needed
from app.targets.repository import TARGET_CHECK_TASK, TargetRepository
from app.tasks.queue import TaskQueue
from app.tasks.records import ClaimedTask
from workers.assembly import read_model_on_target, read_network_of
from workers.devices import device_of
from workers.lease import StopSignal, held_lease, persistently
from workers.lookup import table_today
from workers.reach import measure_reach
from workers.service import Service

log = logging.getLogger(__name__)

AGREEMENT = 1e-4
"""Largest difference allowed between the rebuilt module and the ONNX file written from it, of the output's scale."""


def nothing() -> None:
    """What most tasks do afterwards."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """`write` is what a finished task writes, in the transaction that ends it; its value is the task's result. What
    may only happen once that is committed comes `afterwards`."""

    write: Callable[[Session], dict[str, Any] | None]
    afterwards: Callable[[], None] = nothing


def run_task(claimed: ClaimedTask, service: Service, shutdown: Callable[[], bool]) -> None:
    """Does the task; its outcome is written together with the end of its lease.

    Raises one of DATABASE_AWAY, or StorageError: no fault of the task, which is done again.
    """
    signal = StopSignal(shutdown)
    service = service.at_work(lambda session: TaskQueue(session).hold(claimed))

    def renew() -> None:
        with unit_of_work(service.sessions) as session:
            TaskQueue(session).renew_lease(claimed, service.settings.lease_s)

    with held_lease(renew, signal, lease_s=service.settings.lease_s):
        persistently(partial(_work_on, claimed, service, signal), renew, signal)


def _work_on(claimed: ClaimedTask, service: Service, signal: StopSignal) -> None:
    """Raises DATABASE_AWAY and StorageError, and nothing else."""
    try:
        with room_needed():
            _do(claimed, service, signal)
    except LeaseLost:
        log.warning("%s: the lease is another worker's now", claimed.id)
    except (OSError, BlobMissing):
        log.exception("%s: no fault of the file; whatever is left is done when the lease has run out", claimed.id)
    except StorageError:
        with suppress(LeaseLost), unit_of_work(service.sessions) as session:
            TaskQueue(session).release(claimed)
        raise  # whoever claims next waits first


def _do(claimed: ClaimedTask, service: Service, signal: StopSignal) -> None:
    """Raises LeaseLost; and one of DATABASE_AWAY, OSError or StorageError when database, disk or storage fail."""
    try:
        ending = KINDS[claimed.kind](claimed, service, signal)
        with unit_of_work(service.sessions) as session:
            result = ending.write(session)
            TaskQueue(session).finish_task(claimed, result=result)
    except (LeaseLost, *DATABASE_AWAY, OSError, StorageError):
        raise
    except Stopped:
        with unit_of_work(service.sessions) as session:
            TaskQueue(session).release(claimed)
    except Exception as error:
        if not isinstance(error, AdaptError):
            log.exception("%s failed", claimed.id)
        with unit_of_work(service.sessions) as session:
            TaskQueue(session).finish_task(claimed, error=problem_of(error))
            refuse_given_up(session)
    else:
        ending.afterwards()


def refuse_given_up(session: Session) -> None:
    """Refuses whatever a check that failed was about, in the transaction in which a task may have failed."""
    ModelRepository(session).refuse_abandoned()
    DatasetRepository(session).refuse_abandoned()
    TargetRepository(session).refuse_abandoned()


def check_model(claimed: ClaimedTask, service: Service, signal: StopSignal) -> Ending:
    """Finds the channel groups, and whether the rebuilt module and our ONNX file compute the same."""
    model_id = claimed.payload["model"]
    with reading(service.sessions) as session:
        model = ModelRepository(session).get_model(Caller(id=claimed.owner), model_id)
    try:
        network = read_network_of(model, service)
        groups = channel_groups(network)
        difference = largest_difference(network)
        if not difference <= AGREEMENT:
            raise NetworkRefused(
                "", f"rebuilt in torch and in onnxruntime it answers differently, by {difference:.2g} of its scale"
            )
    except (OSError, StorageError):
        raise  # no fault of the network
    except Exception as error:  # whatever a network contains, it may not stay `checking` for ever
        problem = _problem_of(model_id, error)
        return Ending(write=lambda session: ModelRepository(session).refuse(model_id, problem))

    def finish(session: Session) -> None:
        ModelRepository(session).finish_check(model_id, groups)
        timed = {"model": model_id}
        TaskQueue(session).enqueue_task(claimed.owner, TIMING_TASK, model_id, timed, lane="measuring")

    return Ending(write=finish)


def time_training(claimed: ClaimedTask, service: Service, signal: StopSignal) -> Ending:
    """How fast a model trains here, for estimates: it waits for whatever measures, so a check does not wait for it."""
    with reading(service.sessions) as session:
        model = ModelRepository(session).find_model(Caller(id=claimed.owner), claimed.payload["model"])
    if model is None:
        return Ending(write=lambda session: None)  # deleted meanwhile
    speed = _training_speed(read_network_of(model, service), service, signal)
    return Ending(write=lambda session: speed)


def measure_model(claimed: ClaimedTask, service: Service, signal: StopSignal) -> Ending:
    """Fills the look-up table of a target with a model's operators, for predictions, unless it is there; and measures
    what the settings asked about could reach.

    A target that measures under other conditions than the last time has no table either, whatever was asked for.
    """
    payload = claimed.payload
    measured = read_model_on_target(Caller(id=claimed.owner), payload["model"], payload["target"], service)
    settings = settings_from_document(payload["settings"])
    with closing(device_of(measured.target, service, asker=claimed.id)) as device:
        table_today(measured, settings, device, service, signal)
        measure_reach(measured, settings, device, service, signal)
    speed = _training_speed(measured.network, service, signal)

    def write(session: Session) -> dict[str, Any]:
        OrderBook(session).forget_answered(claimed.id)
        return speed

    return Ending(write=write)


def _training_speed(network: Network, service: Service, signal: StopSignal) -> dict[str, Any]:
    """As a task's result."""
    return {TRAINING_SPEED: asdict(measure_training_speed(network, MachineLock(service.lock_directory), signal))}


def check_target(claimed: ClaimedTask, service: Service, signal: StopSignal) -> Ending:
    """Whether this machine can measure what the target says: tried on a tiny network."""
    target_id = claimed.payload["target"]
    with reading(service.sessions) as session:
        target = TargetRepository(session).find_target(Caller(id=claimed.owner), target_id)
    if target is None:
        return Ending(write=lambda session: None)  # deleted meanwhile
    try:
        with closing(device_of(target, service, asker=claimed.id)) as device:
            conditions = try_out(device, target.choice, signal)
    except (Stopped, LeaseLost, *DATABASE_AWAY, OSError, StorageError):
        raise  # no fault of the target
    except Exception as error:  # whatever a runtime raises, the target may not stay `checking` for ever
        problem = _problem_of(target_id, error)
        return Ending(write=lambda session: TargetRepository(session).refuse(target_id, problem))
    return Ending(write=lambda session: TargetRepository(session).finish_check(target_id, conditions))


def decode_dataset(claimed: ClaimedTask, service: Service, signal: StopSignal) -> Ending:
    """Decodes a large upload, once, to arrays that every job maps."""
    dataset_id = claimed.payload["dataset"]
    with reading(service.sessions) as session:
        dataset = DatasetRepository(session).find_dataset(Caller(id=claimed.owner), dataset_id)
    if dataset is None:
        return Ending(write=lambda session: None)  # deleted meanwhile
    limits = ReadLimits.of(service.settings).of_images(workers=len(os.sched_getaffinity(0)))
    try:
        if dataset.sha256 is None:
            raise DatasetRefused(dataset.name, "has no stored file")
        with (
            service.storage.local_path(dataset.sha256) as path,
            tempfile.TemporaryDirectory(prefix="netadapt-decode-") as name,
        ):
            folder = Path(name)
            list_images(path, dataset.format, folder, limits, stop=signal, lock_directory=service.lock_directory)
            decoded = decode_listed(folder, limits, stop=signal, lock_directory=service.lock_directory)
            ingested = keep_decoded(service.storage, folder, decoded)
    except (Stopped, OSError, StorageError):
        raise  # no fault of the file
    except Exception as error:  # whatever an archive contains, it may not stay `checking` for ever
        problem = _problem_of(dataset_id, error)
        return Ending(
            write=lambda session: DatasetRepository(session).refuse(dataset_id, problem),
            afterwards=lambda: _discard_upload(dataset, service),
        )
    return Ending(write=lambda session: DatasetRepository(session).finish_decode(dataset_id, ingested))


def _problem_of(subject_id: str, error: Exception) -> dict[str, Any]:
    """Why a model, target or data set is refused; in the log, too, as an error when nobody foresaw it."""
    log.log(logging.INFO if isinstance(error, AdaptError) else logging.ERROR, "%s", subject_id, exc_info=error)
    return problem_of(error)


def _discard_upload(dataset: Dataset, service: Service) -> None:
    if dataset.sha256 is not None:
        discard(service.sessions, service.storage, [dataset.sha256], written_before=dataset.created_at)


KINDS: dict[str, Callable[[ClaimedTask, Service, StopSignal], Ending]] = {
    CHECK_TASK: check_model,
    TIMING_TASK: time_training,
    PROFILE_TASK: measure_model,
    MEASURE_TASK: measure_model,
    TARGET_CHECK_TASK: check_target,
    DECODE_TASK: decode_dataset,
}
