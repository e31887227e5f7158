"""The look-up table that a job's predictions rest on: taken once per model and target, recorded before it is used."""

from dataclasses import dataclass
from typing import Any

from app.targets.records import Target
from app.targets.repository import TargetRepository

from adapt.executors.contract import Stop
from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup
from adapt.latency.machine_lock import MachineLock
from adapt.latency.profile import take_profile
from adapt.latency.runtimes.onnxruntime import OnnxRuntime
from adapt.latency.table import LookupTable, table_from_json
from app.blobs import BlobRepository
from app.database import Sessions, reading, unit_of_work
from app.jobs.recorder import JobRecorder
from app.jobs.records import ClaimedJob
from app.storage import Storage
from app.tasks.queue import TaskQueue
from workers.assembly import Material
from workers.service import Service

TASK = "profile"
PROFILE_SEED = 0  # the same variants for every job: one profile serves them all


@dataclass(frozen=True, kw_only=True)
class StoredProfile:
    """A look-up table as a blob, and the two latencies that were measured with it (milliseconds)."""

    sha256: str
    fingerprint: str
    original_ms: float
    smallest_ms: float
    variants: int
    seconds: float

    def to_document(self) -> dict[str, Any]:
        return {
            "table": self.sha256,
            "fingerprint": self.fingerprint,
            "original_ms": self.original_ms,
            "smallest_ms": self.smallest_ms,
            "variants": self.variants,
            "seconds": self.seconds,
        }


def profile_key(model_id: str, target_id: str) -> str:
    return f"{model_id}:{target_id}"


def table_of_job(claimed: ClaimedJob, material: Material, service: Service, stop: Stop) -> LookupTable:
    """The recorded table of a resumed job; else that of the newest profile under today's conditions; else a new one.

    Recorded as the job's value "table" before it is handed out: a resumed job decides from the same figures.
    """
    recorded = material.record.values.get("table")
    if recorded is not None:
        return read_table(recorded["sha256"], service.storage)
    runtime = runtime_of(material.target)
    sha256 = _find_profile(material, service.sessions, runtime.conditions.fingerprint())
    if sha256 is None:
        groups = material.model.groups or ()
        sha256 = take_and_store(material.network, groups, material.target, service, stop).sha256
    with unit_of_work(service.sessions) as session:
        JobRecorder(session).set_value(claimed, "table", {"sha256": sha256})
    return read_table(sha256, service.storage)


def take_and_store(
    network: Network, groups: tuple[ChannelGroup, ...], target: Target, service: Service, stop: Stop
) -> StoredProfile:
    """Profiles with the machine to itself; stores the table and its entries. Raises MeasurementFailed, Stopped."""
    runtime = runtime_of(target)
    with MachineLock(service.lock_directory).measuring(stop):
        profile = take_profile(network, groups, runtime, seed=PROFILE_SEED, stop=stop)
    blob = service.storage.put(profile.table.to_json().encode())
    with unit_of_work(service.sessions) as session:
        BlobRepository(session).add_blob(blob.sha256, blob.bytes)
        TargetRepository(session).add_entries(target.id, profile.table)
    return StoredProfile(
        sha256=blob.sha256,
        fingerprint=runtime.conditions.fingerprint(),
        original_ms=profile.original_ms,
        smallest_ms=profile.original_ms * profile.smallest_ratio,
        variants=profile.variants,
        seconds=profile.seconds,
    )


def read_table(sha256: str, storage: Storage) -> LookupTable:
    return table_from_json(storage.read(sha256).decode())


def runtime_of(target: Target) -> OnnxRuntime:
    return OnnxRuntime(threads=target.threads, batch=target.batch, provider=target.provider)


def _find_profile(material: Material, sessions: Sessions, fingerprint: str) -> str | None:
    with reading(sessions) as session:
        task = TaskQueue(session).find_latest(TASK, profile_key(material.model.id, material.target.id))
    if task is None or task.result is None or task.result.get("fingerprint") != fingerprint:
        return None
    return str(task.result["table"])
