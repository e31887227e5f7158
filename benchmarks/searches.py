"""Searches as a worker runs them, on a database and storage of their own, told apart by their number of processes.

Everything that a worker does with an event of the search is done (database, files of each pick); what is missing is
the thread that renews a lease. The caller goes from one iteration to the next by itself, so that it can do something
else in between.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapt.assembly import assembled, fitted_data
from adapt.checkpoint import write_safetensors
from adapt.data.dataset import Dataset, TrainingData, whole_part
from adapt.events import ControlEvaluated, Event, IterationDone, IterationStarted, ProposalEvaluated
from adapt.executors.contract import Candidate
from adapt.executors.in_flight import in_flight
from adapt.graph.costs import costs
from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup, Kept, all_kept
from adapt.graph.shapes import infer_shapes
from adapt.graph.shares import shares_by_kind
from adapt.groups import channel_groups
from adapt.loop import adapt_network
from adapt.presets import effective_settings, settings_to_document
from adapt.search import Progress
from adapt.spec import Settings, default_normalization, derive_seed
from adapt.stop import never
from adapt.zoo.catalogue import get_architecture
from adapt.zoo.initial import initial_network
from app.database import make_engine, make_sessions, migrate, unit_of_work
from app.jobs.queue import JobQueue
from app.jobs.records import ClaimedJob, NewJob
from app.jobs.repository import JobRepository
from app.models.records import NewModel
from app.models.repository import ModelRepository
from app.records import LOCAL_CALLER
from app.settings import Settings as ServiceSettings
from app.storage import Storage
from workers.assembly import read_material
from workers.checkpoints import measured_by
from workers.recording import Recording
from workers.reporting import Reporter
from workers.service import Service

WORKER = "benchmark"
LEASE_S = 36_000.0  # nobody else is there to take it
CLASSES = 10


def random_images(images: int, image_shape: tuple[int, int, int], seed: int = 0) -> Dataset:
    """Pixels and labels drawn at random, (C, H, W): nothing can be learned from them, and it takes as long."""
    random = np.random.default_rng(seed)
    channels, height, width = image_shape
    pool = random.integers(0, 256, (images, height, width, channels), dtype=np.uint8)
    whole = whole_part(pool, np.arange(images, dtype=np.int64) % CLASSES)
    eighth = images // 8
    rows = np.arange(images, dtype=np.int64)
    return Dataset(
        name="random",
        origin="npz",
        train=whole.subset(rows[eighth:]),
        test=whole.subset(rows[:eighth]),
        classes=tuple(map(str, range(CLASSES))),
        splits={},
    )


def zoo_network(name: str, seed: int = 0) -> Network:
    """A zoo architecture for ten classes with weights to begin training from."""
    return initial_network(get_architecture(name).graph(CLASSES), seed)


@dataclass(frozen=True, kw_only=True)
class Step:
    """An iteration that a search has gone. `seconds` run from the end of the one before it to the end of its own
    recording; up to `chosen_s` counts are looked up and channels chosen, up to `trained_s` candidates trained.
    `begun_anew`: the control fell, and it and what was begun beside it was trained again at half the rate."""

    iteration: int
    seconds: float
    chosen_s: float
    trained_s: float
    network: Network
    before: Kept
    candidates: tuple[Candidate, ...]
    picked: tuple[str, ...]
    begun_anew: bool


class Search:
    """A job under way: `data` are those that it trains on."""

    def __init__(
        self,
        events: Iterator[Event],
        write: Callable[[Event], None],
        network: Network,
        groups: tuple[ChannelGroup, ...],
        settings: Settings,
        data: TrainingData,
        processes: int,
    ) -> None:
        self.processes = processes
        self.settings, self.data, self.groups, self.original = settings, data, groups, network.graph
        self._events, self._write = events, write
        self._network, self._kept = network, dict(all_kept(groups))

    def iterate(self) -> Step:
        """One iteration. Raises LookupError when the search is over."""
        candidates: list[Candidate] = []
        begun_anew = False
        began = chosen = trained = time.perf_counter()
        for event in self._events:
            self._write(event)
            if isinstance(event, IterationStarted):
                chosen = time.perf_counter()
            elif isinstance(event, ControlEvaluated | ProposalEvaluated):
                trained = time.perf_counter()
                begun_anew |= isinstance(event, ControlEvaluated) and event.reason is not None
                candidates.append(self._candidate(event))
            elif isinstance(event, IterationDone):
                step = Step(
                    iteration=event.iteration,
                    seconds=time.perf_counter() - began,
                    chosen_s=chosen - began,
                    trained_s=trained - began,
                    network=self._network,
                    before=self._kept,
                    candidates=tuple(candidates),
                    picked=event.picked,
                    begun_anew=begun_anew,
                )
                self._network, self._kept = event.network, dict(event.kept)
                return step
        raise LookupError("the search is over")

    def settled(self) -> Step:
        """The next iteration that was not begun anew, which happens once in a job: random images teach nothing, so the
        control may well fall. Raises LookupError when the search is over."""
        while (step := self.iterate()).begun_anew:
            continue
        return step

    def _candidate(self, event: ControlEvaluated | ProposalEvaluated) -> Candidate:
        kept, group = dict(self._kept), None
        if isinstance(event, ProposalEvaluated):
            group = event.group
            for name, those in event.positions.items():
                kept[name] = tuple(self._kept[name][position] for position in those)
        seed = derive_seed(self.settings.seed, event.iteration, group or "control")
        return Candidate(group=group, kept=kept, seed=seed, learning_rate=self.settings.learning_rate)


@contextmanager
def searching(
    network: Network, dataset: Dataset, folder: Path, *, budget: Mapping[str, str], settings: Mapping[str, Any]
) -> Iterator[Search]:
    """A job on `network` with a database, storage and lock in `folder`. It has as many processes as this process has
    cores when the block is entered, on those cores."""
    service = _service(folder)
    claimed = _claimed(network, budget, effective_settings(settings), service)
    with unit_of_work(service.sessions) as session:
        job = JobQueue(session).get_claimed(claimed)
    material = read_material(job, service)
    pixels = material.model.normalization
    with (
        fitted_data(network, dataset, pixels, material.settings) as (_fitted, data),
        assembled(
            network,
            material.groups,
            dataset,
            pixels,
            asked=material.asked,
            settings=material.settings,
            meters=lambda images: {},
            lock_directory=service.lock_directory,
            stop=never,
        ) as search,
    ):
        recording = Recording(claimed, service.sessions, service.storage, material, measured_by(search))
        reporter = Reporter(claimed, service.sessions, material)

        def write(event: Event) -> None:
            recording.write(event)
            reporter.tell(event)

        yield Search(
            adapt_network(search, Progress()),
            write,
            network,
            material.groups,
            material.settings,
            data,
            in_flight(network.graph, material.settings),
        )


@contextmanager
def search_on(cores: Sequence[int], architecture: str, images: int, settings: Mapping[str, Any]) -> Iterator[Search]:
    """A search of a zoo architecture on random images, on these cores: counted when it is set up."""
    network = zoo_network(architecture)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="netadapt-search-"))
        data = random_images(images, network.graph.input_shape)
        with on_cores(cores):
            search = stack.enter_context(
                searching(network, data, Path(folder), budget={"macs": "30%"}, settings=settings)
            )
        yield search


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """Processes that are started meanwhile have these cores, and this one has them too."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _service(folder: Path) -> Service:
    settings = ServiceSettings(data_dir=folder)
    migrate(settings.database_url)
    engine = make_engine(settings.database_url)
    storage = Storage(settings.storage_url)
    return Service(
        sessions=make_sessions(engine, storage),
        storage=storage,
        settings=settings,
        lock_directory=folder / "lock",
        worker_id=WORKER,
    )


def _claimed(network: Network, budget: Mapping[str, str], settings: Settings, service: Service) -> ClaimedJob:
    figures = costs(network.graph)
    blob = service.storage.put(write_safetensors(network))
    model = NewModel(
        name="benchmark",
        format="safetensors",
        architecture=None,
        sha256=blob.sha256,
        bytes=blob.bytes,
        graph=network.graph,
        class_count=infer_shapes(network.graph)[network.graph.output][1],
        classes=None,
        normalization=default_normalization(network.graph.input_shape[0]),
        params=figures.params,
        macs=figures.macs,
        memory_bytes=figures.memory_bytes,
        by_kind=shares_by_kind(network.graph),
    )
    with unit_of_work(service.sessions) as session:
        models = ModelRepository(session)
        model_id = models.add_model(LOCAL_CALLER, model, blob).id
        models.finish_check(model_id, channel_groups(network))
        job = NewJob(
            name=None,
            model_id=model_id,
            dataset_id="digits",  # by name only: the images are the caller's
            target_id="local",
            budget=dict(budget),
            settings=settings_to_document(settings),
        )
        JobRepository(session).add_job(LOCAL_CALLER, job)
    with unit_of_work(service.sessions) as session:
        claimed = JobQueue(session).claim_next_job(WORKER, lease_s=LEASE_S)
    assert claimed is not None
    return claimed
