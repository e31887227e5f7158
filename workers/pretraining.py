"""Training a zoo architecture before it is adapted: epochs that a resumed job goes on from, recorded at their end."""

from dataclasses import replace

from adapt.assembly import fitted_data
from adapt.checkpoint import read_safetensors, write_safetensors
from adapt.data.dataset import Dataset
from adapt.errors import TrainingDiverged
from adapt.events import EpochDone, Message, PhaseChanged
from adapt.graph.network import Network
from adapt.latency.machine_lock import MachineLock
from adapt.stop import Stop
from adapt.training.from_scratch import train_from_scratch
from adapt.training.long_term import finetuned
from adapt.zoo.catalogue import get_architecture
from adapt.zoo.initial import initial_network
from app.database import unit_of_work
from app.jobs.recorder import TRAINED, JobRecorder
from app.jobs.records import ClaimedJob
from app.models.records import UNTRAINED
from workers.assembly import Material
from workers.progress import read_epoch
from workers.recording import Recording
from workers.reporting import Reporter
from workers.service import Service


def with_trained_network(
    claimed: ClaimedJob, material: Material, dataset: Dataset, service: Service, stop: Stop
) -> Material:
    """`material` with the network that the search is to begin from: the model's own, unless that is a zoo
    architecture without weights. Then it is what this job's record (or that of the job it continues) says was
    trained, or it is trained now.

    Raises TrainingDiverged, DatasetRefused, NotEnoughData, Stopped.
    """
    if material.model.format != UNTRAINED:
        return material
    named = material.record.values.get(TRAINED)
    if named is None and material.before is not None:
        named = material.before.values[TRAINED]
        with unit_of_work(service.sessions) as session:  # whoever continues this job finds it too
            JobRecorder(session).set_value(claimed, TRAINED, named)
    if named is None:
        return replace(material, network=_train(claimed, material, dataset, service, stop))
    with service.storage.local_path(named["sha256"]) as path:
        return replace(material, network=read_safetensors(path))


def _train(claimed: ClaimedJob, material: Material, dataset: Dataset, service: Service, stop: Stop) -> Network:
    settings, model = material.settings, material.model
    if model.architecture is None:
        raise LookupError(f"{model.id} is an architecture without a name")
    # Auxiliary classifiers train along, and are left behind with the last epoch.
    graph, auxiliary = get_architecture(model.architecture).family.with_auxiliary(material.network.graph)
    untrained = initial_network(graph, settings.seed)
    recording = Recording(claimed, service.sessions, service.storage, material)
    reporter = Reporter(claimed, service.sessions, material)
    begun = PhaseChanged(phase="training")
    recording.write(begun)
    reporter.tell(begun)
    last = read_epoch(material.record, service.storage)
    lock = MachineLock(service.lock_directory)
    with fitted_data(untrained, dataset, model.normalization, settings, model.classes) as (_, data):
        state = None if last is None else last.state
        epochs = train_from_scratch(untrained, data, settings, state=state, lock=lock, stop=stop, auxiliary=auxiliary)
        for epoch in epochs:
            recording.write(epoch)
            reporter.tell(epoch)
            last = epoch
    if last is None or last.holdout.lost:
        raise TrainingDiverged(settings.training_learning_rate)
    trained = finetuned(material.network, last.state)
    _record(claimed, trained, service)
    recording.write(Message(text=_told(material, last, len(auxiliary))))
    return trained


def _record(claimed: ClaimedJob, trained: Network, service: Service) -> None:
    """The file first, then the value that names it; from here on a resume reads it."""
    blob = service.storage.put(write_safetensors(trained))
    with unit_of_work(service.sessions) as session:
        JobRecorder(session).finish_training(claimed, blob)


def _told(material: Material, last: EpochDone, auxiliary: int) -> str:
    along = f", with {auxiliary} auxiliary classifier(s), now left out" if auxiliary else ""
    epochs = "epoch" if last.epoch == 1 else "epochs"
    return (
        f"{material.model.architecture} was trained for {last.epoch} {epochs} on {material.job.dataset_id} from seed "
        f"{material.settings.seed}{along}: hold-out accuracy {last.holdout.accuracy:.3f}"
    )
