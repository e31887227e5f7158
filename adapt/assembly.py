"""A search put together from a network, data and settings: the one way, for the worker and for `netadapt.run`."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from adapt.budget import Asked
from adapt.data.calibration import CalibrationImages, calibration_images
from adapt.data.dataset import Dataset, TrainingData
from adapt.data.fit import fit_to
from adapt.data.report import of_images
from adapt.data.split import split_further, split_holdout
from adapt.events import Evaluation
from adapt.executors.contract import Executor, Failure
from adapt.executors.in_flight import in_flight
from adapt.executors.processes import ProcessExecutor
from adapt.executors.ray import Cluster, RayExecutor, require_ray
from adapt.executors.recorded import RecordedExecutor
from adapt.executors.serial import SerialExecutor
from adapt.executors.task import TrainingTask
from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup
from adapt.graph.shapes import infer_shapes
from adapt.latency.staircase import Staircase
from adapt.presets import unread
from adapt.reach import why_left_alone
from adapt.search import Job, Meter
from adapt.spec import Normalization, Resource, Settings
from adapt.stop import Stop
from adapt.training.device import released_after, training_device
from adapt.training.trainer import NetworkTrainer


@contextmanager
def fitted_data(
    network: Network,
    dataset: Dataset,
    normalization: Normalization,
    settings: Settings,
    classes: Sequence[str] | None = None,
) -> Iterator[tuple[Dataset, TrainingData]]:
    """The data set at the network's size, and what is trained and chosen on: its training images, and the hold-out
    that it declares or that is cut from them. `classes` are the names of the network's outputs, where it has names.

    Raises DatasetRefused when the data do not fit the network, NotEnoughData when no hold-out can be cut from them.
    """
    # Images of another size are written there at the network's, and mapped while the block lasts.
    with tempfile.TemporaryDirectory(prefix="netadapt-images-") as folder:
        outputs = class_count(network)
        fitted = fit_to(dataset, network.graph.input_shape, outputs, names=classes, folder=Path(folder))
        train, holdout = fitted.train, fitted.holdout
        if holdout is None:
            train_rows, holdout_rows = split_holdout(train.part_labels, settings.seed, settings.holdout)
            train, holdout = train.subset(train_rows), train.subset(holdout_rows)
        rows, further = split_further(train.part_labels, settings.seed, len(holdout), settings.holdout_max)
        pixels = of_images(fitted.train) if settings.normalization == "data" else normalization
        yield (
            fitted,
            TrainingData(
                train=train.subset(rows) if len(further) else train,
                holdout=holdout,
                normalization=pixels,
                further=train.subset(further) if len(further) else None,
            ),
        )


@contextmanager
def assembled(
    original: Network,
    groups: Sequence[ChannelGroup],
    dataset: Dataset,
    normalization: Normalization,
    *,
    asked: Asked,
    settings: Settings,
    meters: Callable[[CalibrationImages], Mapping[Resource, Meter]],
    lock_directory: Path | None,
    stop: Stop,
    staircase: Callable[[], Staircase] | None = None,
    recorded: Mapping[str | None, Evaluation | Failure] | None = None,
    classes: Sequence[str] | None = None,
    cluster: Cluster | None = None,
) -> Iterator[Job]:
    """The job of a search; its executor is closed at the end. `recorded` are outcomes of an interrupted iteration.
    `classes` are the names of the network's outputs, where it has names. `meters` is given training images as the
    network takes them: the file that a meter measures may depend on them. `cluster` is the one of the executor ray.

    Raises DatasetRefused when the data do not fit the network, NotEnoughData when no hold-out can be cut from them,
    DeviceAbsent for a GPU that is not there, ExtraAbsent for Ray that is not installed.
    """
    check_is_there(settings)
    with released_after(), fitted_data(original, dataset, normalization, settings, classes) as (fitted, data):
        teacher = original if settings.distill else None
        task = TrainingTask(
            original=original.graph,
            groups=tuple(groups),
            data=data,
            settings=settings,
            teacher=teacher,
            lock_directory=lock_directory,
        )
        with closing(RecordedExecutor(_executor(task, cluster), recorded or {})) as executor:
            yield Job(
                original=original,
                groups=tuple(groups),
                classes=class_count(original),
                asked=asked,
                settings=settings,
                executor=executor,
                trainer=NetworkTrainer(data, fitted.test, settings, lock_directory, stop, teacher),
                meters=meters(calibration_images(data, settings.seed)),
                stop=stop,
                staircase=staircase,
                notes=(
                    *fitted.notes[len(dataset.notes) :],
                    _stated_parts(fitted, data, settings),
                    _stated(data.normalization, settings),
                    *_left_alone(groups, settings),
                    *unread(settings),
                ),
            )


def _stated_parts(fitted: Dataset, data: TrainingData, settings: Settings) -> str:
    declared = fitted.splits.get("holdout_from") if fitted.holdout is not None else None
    origin = f"as {declared} of the data set" if declared else "cut from the training images, stratified, by the seed"
    further = ""
    if data.further:
        further = f"; to judge again what it does not tell apart: {len(data.further)} more"
    elif settings.holdout_max:
        share = f"holdout_max ({settings.holdout_max:g}) of the training images"
        further = f"; to judge again what it does not tell apart: none more, it has {share} already"
    return (
        f"{len(data.train)} images to train on; the hold-out that proposals are judged by: {len(data.holdout)} "
        f"({origin}){further}; to report on: {len(fitted.test)} ({fitted.splits.get('test_from', 'the test part')})"
    )


def _stated(pixels: Normalization, settings: Settings) -> str:
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (pixels.mean, pixels.std))
    source = "taken from the training images" if settings.normalization == "data" else "the model's normalization"
    return f"pixels go into the network as (pixel / 255 - mean) / std, mean {mean}, std {std}: {source}"


def _left_alone(groups: Sequence[ChannelGroup], settings: Settings) -> Iterator[str]:
    """A line for each reason that the settings give for leaving groups as they are."""
    by_reason: dict[str, list[str]] = {}
    for group in groups:
        if group.prunable and (reason := why_left_alone(group, settings)) is not None:
            by_reason.setdefault(reason, []).append(group.id)
    for reason, names in by_reason.items():
        yield f"left as they are by the settings ({reason}): {', '.join(names)}"


def class_count(network: Network) -> int:
    """How many classes the network tells apart: its output is [N, classes]."""
    return infer_shapes(network.graph)[network.graph.output][1]


def check_is_there(settings: Settings) -> None:
    """Whatever the settings need of this machine. Raises DeviceAbsent, ExtraAbsent."""
    training_device(settings.device)
    if settings.executor == "ray":
        require_ray()


def _executor(task: TrainingTask, cluster: Cluster | None) -> Executor:
    if task.settings.executor == "serial":
        return SerialExecutor(task)
    at_once = in_flight(task.original, task.settings)
    if task.settings.executor == "ray":
        return RayExecutor(task, cluster=cluster, processors=at_once)
    return ProcessExecutor(task, workers=at_once)
