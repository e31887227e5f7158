"""A job's row turned into a search: network, data, executor, meter."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.database import reading
from app.datasets.records import Dataset as StoredDataset
from app.datasets.repository import DatasetRepository
from app.jobs.records import Job as JobRecord
from app.models.records import Model
from app.models.repository import ModelRepository
from app.records import Caller

from adapt.budget import Asked, parse_limit
from adapt.checkpoint import read_safetensors
from adapt.data.dataset import Dataset, TrainingData
from adapt.data.digits import digits
from adapt.data.fit import fit_to
from adapt.data.npz import load_npz
from adapt.data.split import split_holdout
from adapt.executors.contract import Executor, Stop
from adapt.executors.processes import ProcessExecutor
from adapt.executors.serial import SerialExecutor
from adapt.executors.task import TrainingTask
from adapt.graph.network import Network
from adapt.presets import settings_from_document
from adapt.spec import RESOURCES, Normalization, Settings
from adapt.training.trainer import NetworkTrainer
from workers.service import Service


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a job works on, read once."""

    model: Model
    network: Network
    settings: Settings
    asked: Asked


def read_material(job: JobRecord, service: Service) -> Material:
    """The job's model from our own safetensors file, and its budget and settings as values."""
    with reading(service.sessions) as session:
        model = ModelRepository(session).get_model(Caller(id=job.owner), job.model_id)
    return Material(
        model=model,
        network=read_network_of(model, service),
        settings=settings_from_document(job.settings),
        asked={name: parse_limit(job.budget[name]) for name in RESOURCES if name in job.budget},
    )


def read_network_of(model: Model, service: Service) -> Network:
    with service.storage.local_path(model.weights_sha256) as path:
        return read_safetensors(path)
