"""What a job or a task works on, read from the database and storage once."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adapt.budget import Asked, parse_budget
from adapt.checkpoint import read_safetensors
from adapt.data.dataset import Dataset
from adapt.data.decoding import load_decoded
from adapt.data.digits import NAME as DIGITS
from adapt.data.digits import digits
from adapt.data.npz import load_npz
from adapt.errors import DatasetRefused
from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup
from adapt.presets import settings_from_document
from adapt.spec import Settings
from app.database import reading
from app.datasets.repository import DatasetRepository
from app.jobs.records import Job, JobProgressRecord
from app.jobs.resume import count_steps_before, load_progress
from app.models.records import Model
from app.models.repository import ModelRepository
from app.records import Caller
from app.targets.records import Target
from app.targets.repository import TargetRepository
from workers.service import Service


@dataclass(frozen=True, kw_only=True)
class ModelOnTarget:
    """A model, its network and channel groups, and the target that it is measured on."""

    model: Model
    network: Network
    groups: tuple[ChannelGroup, ...]
    target: Target


@dataclass(frozen=True, kw_only=True)
class Material(ModelOnTarget):
    """A job's rows as values. `record` is what was recorded of it so far, `before` of the job that it continues;
    `steps_before` are the short-term training steps that were behind the network it began with."""

    job: Job
    settings: Settings
    asked: Asked
    record: JobProgressRecord
    before: JobProgressRecord | None
    steps_before: int = 0


def read_material(job: Job, service: Service) -> Material:
    measured = read_model_on_target(Caller(id=job.owner), job.model_id, job.target_id, service)
    with reading(service.sessions) as session:
        record = load_progress(session, job.id)
        before = None if job.continues is None else load_progress(session, job.continues, through=job.from_iteration)
        steps_before = count_steps_before(session, job)
    return Material(
        job=job,
        model=measured.model,
        network=measured.network,
        groups=measured.groups,
        target=measured.target,
        settings=settings_from_document(job.settings),
        asked=parse_budget(job.budget),
        record=record,
        before=before,
        steps_before=steps_before,
    )


def read_model_on_target(owner: Caller, model_id: str, target_id: str, service: Service) -> ModelOnTarget:
    """Raises ModelNotFound, TargetNotFound."""
    with reading(service.sessions) as session:
        models = ModelRepository(session)
        model, structure = models.get_model(owner, model_id), models.get_structure(owner, model_id)
        target = TargetRepository(session).get_target(owner, target_id)
    return ModelOnTarget(
        model=model, network=read_network_of(model, service), groups=structure.groups or (), target=target
    )


def read_network_of(model: Model, service: Service) -> Network:
    """From the safetensors file that we wrote when the model was uploaded."""
    with service.storage.local_path(model.weights_sha256) as path:
        return read_safetensors(path)


@contextmanager
def read_dataset(job: Job, service: Service) -> Iterator[Dataset]:
    """The job's data while the block lasts: large arrays are mapped from a temporary folder. Raises DatasetRefused."""
    if job.dataset_id == DIGITS:
        yield digits()
        return
    with reading(service.sessions) as session:
        stored = DatasetRepository(session).get_dataset(Caller(id=job.owner), job.dataset_id)
    if stored.sha256 is None:
        raise DatasetRefused(stored.name, "has no stored file")
    with (
        service.storage.local_path(stored.sha256) as path,
        tempfile.TemporaryDirectory(prefix="netadapt-data-") as folder,
    ):
        if stored.images_sha256 is None or stored.labels_sha256 is None:
            yield load_npz(path, name=stored.name, extract_to=Path(folder))
            return
        with (
            service.storage.local_path(stored.images_sha256) as images,
            service.storage.local_path(stored.labels_sha256) as labels,
        ):
            link = Path(folder) / "images.npy"  # by this name the processes of an executor find and map it too
            link.symlink_to(images.resolve())
            yield load_decoded(
                link,
                labels,
                name=stored.name,
                origin=stored.format,
                classes=stored.classes or (),
                splits=stored.splits or {},
            )
