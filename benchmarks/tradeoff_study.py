"""One network from one seed: the original, what each method makes of it within a budget, and how long that trained.

Every training is the service's own recipe (`adapt.training`): SGD with momentum under a cosine to zero, batch-norm
statistics re-estimated at the end. Nothing here looks at the test set but to report on it.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapt.assembly import fitted_data
from adapt.data.dataset import Dataset, TrainingData
from adapt.data.split import batches_per_epoch
from adapt.formats.onnx_writer import write_onnx
from adapt.graph.network import Graph, Network
from adapt.graph.pruning import ChannelGroup
from adapt.latency.device import Device
from adapt.latency.machine_lock import MachineLock
from adapt.latency.measure import PairedMeasurement, evaluated, surest_reading
from adapt.latency.profile import take_profile
from adapt.latency.reading import Plan
from adapt.latency.table import LookupTable, table_from_document
from adapt.presets import effective_settings, settings_to_document
from adapt.spec import Settings, default_normalization
from adapt.stop import Stop
from adapt.training.long_term import finetuned, long_term_finetune
from adapt.training.scoring import evaluate
from adapt.training.sgd import trainable_module
from adapt.training.supervision import supervised
from adapt.zoo.initial import initial_network
from benchmarks.cells import Cell, Cells, Found

SETTINGS: Mapping[str, Any] = {
    # The default preset but for what images this small and few ask for: an epoch of them is 250 steps of 32.
    "preset": "netadapt",
    "schedule": {"initial": 0.05, "decay": 0.98},  # the upper end of what the paper's section 4 has: half the cost
    "short_term_steps": 20,
    "long_term_epochs": 10,
    "batch_size": 32,
    "training_epochs": 20,
    "training_learning_rate": 0.05,
}
PICKING = Plan(minimum_s=1.0, maximum_s=3.0)
"""Of a candidate that may or may not be within a budget, and of a search's picks."""
PACE = ("epochs", "learning_rate")


class NotThere(Exception):
    """A method cannot do what is asked, or is not built yet."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The network and its images, where it is measured, and where its results are kept. `place` is the fingerprint of
    the device's conditions: what a result that rests on measured times also follows from. `base` are job settings."""

    name: str
    seed: int
    graph: Graph
    groups: tuple[ChannelGroup, ...]
    images: Dataset
    base: Mapping[str, Any]
    cells: Cells
    device: Device
    place: str
    lock: MachineLock
    stop: Stop

    def settings(self, **changed: Any) -> Settings:
        """Raises AdaptError."""
        return effective_settings({**self.base, **changed, "seed": self.seed})

    def about(self, **further: Any) -> dict[str, Any]:
        """What every cell of it follows from."""
        return {"network": self.name, "seed": self.seed, "images": images_about(self.images), **further}


def images_about(images: Dataset) -> dict[str, Any]:
    parts = {"train": images.train, "test": images.test}
    digest = hashlib.sha256()
    for part in parts.values():
        digest.update(part.images.tobytes())
    return {"name": images.name, "sha256": digest.hexdigest()[:16], **{name: len(part) for name, part in parts.items()}}


def original(subject: Subject) -> Found:
    """The unpruned network, trained."""
    settings = subject.settings()
    return trained(
        subject,
        Cell(kind="original", config=subject.about(recipe=recipe_about(settings))),
        lambda: initial_network(subject.graph, subject.seed),
        epochs=settings.training_epochs,
        learning_rate=settings.training_learning_rate,
    )


def trained(subject: Subject, cell: Cell, start: Callable[[], Network], *, epochs: int, learning_rate: float) -> Found:
    """`start` after these epochs, with its accuracy on the test set; goes on where it was interrupted."""
    if (found := subject.cells.find(cell)) is not None:
        return found
    network, halfway = start(), subject.cells.halfway(cell)
    state = None if halfway is None else halfway.arrays
    holdout = None if halfway is None else halfway.values["holdout"]
    settings = replace(subject.settings(), long_term_epochs=epochs, long_term_learning_rate=learning_rate)
    with fitted_data(network, subject.images, default_normalization(3), settings) as (fitted, data):
        for done in long_term_finetune(
            network, data, settings, state=state, lock=subject.lock, stop=subject.stop, purpose=cell.kind
        ):
            state, holdout = done.state, done.holdout.accuracy
            subject.cells.keep_halfway(cell, {"holdout": holdout}, state)
        if state is not None:
            network = finetuned(network, state)
        with supervised(subject.lock, subject.stop) as pulse:
            test = evaluate(trainable_module(network), fitted.test, data.normalization, pulse)
        values = {"test": test.accuracy, "holdout": holdout, "steps": epochs * steps_per_epoch(data, settings)}
    return subject.cells.store(cell, values, network)


def epoch_of(subject: Subject) -> int:
    """Its training steps."""
    unpruned, settings = original(subject), subject.settings()
    return int(unpruned.values["steps"]) // settings.training_epochs


def steps_per_epoch(data: TrainingData, settings: Settings) -> int:
    return batches_per_epoch(len(data.train), settings.batch_size)


def recipe_about(settings: Settings) -> dict[str, Any]:
    """Of the settings those that a training follows from."""
    names = ("batch_size", "momentum", "weight_decay", "augment", "holdout", "batch_norm_batches")
    elsewhere = {} if settings.device == "cpu" else {"device": settings.device}
    return {
        **{name: getattr(settings, name) for name in names},
        "epochs": settings.training_epochs,
        "learning_rate": settings.training_learning_rate,
        **elsewhere,
    }


def settings_about(settings: Settings) -> dict[str, Any]:
    """Those that a search follows from."""
    others = ("executor", "final", "seed", *(f"{kind}_{what}" for kind in ("long_term", "training") for what in PACE))
    return {name: value for name, value in settings_to_document(settings).items() if name not in others}


def look_up_table(subject: Subject) -> LookupTable:
    """Profiled once for all seeds: times depend on shapes alone."""
    cell = Cell(kind="profile", config={"network": subject.name, "place": subject.place})
    found = subject.cells.find(cell)
    if found is None:
        network = initial_network(subject.graph, 0)
        profile = take_profile(network, subject.groups, subject.device, seed=0, stop=subject.stop)
        values = {"table": profile.table.to_document(), "smallest_ratio": profile.smallest_ratio}
        found = subject.cells.store(cell, values)
    return table_from_document(found.values["table"])


def measured(subject: Subject, network: Network, reference: Network, plan: Plan = PICKING) -> PairedMeasurement:
    """Beside the `reference`, in turns; with the machine to itself."""
    files = write_onnx(network), write_onnx(reference)
    return evaluated(surest_reading(subject.device, *files, plan, subject.stop))


def first_within(budget: float, smaller_and_smaller: Sequence[Network], ratio_of: Callable[[Network], float]) -> int:
    """Position of the first network whose ratio is within the budget, by bisection.

    Raises NotThere when not even the last one is.
    """
    low, high = 0, len(smaller_and_smaller) - 1
    if ratio_of(smaller_and_smaller[high]) > budget:
        raise NotThere(f"its smallest network is not within {budget:.0%} of the original's latency")
    while low < high:
        middle = (low + high) // 2
        if ratio_of(smaller_and_smaller[middle]) <= budget:
            high = middle
        else:
            low = middle + 1
    return low
