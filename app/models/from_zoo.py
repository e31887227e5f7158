"""A zoo name as a model of the caller's: the architecture built for a data set, its weights still to be trained."""

from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.exc import IntegrityError

from adapt.formats.safetensors_file import write_safetensors_file
from adapt.graph.costs import costs
from adapt.graph.network import Graph
from adapt.graph.shares import shares_by_kind
from adapt.spec import default_normalization
from adapt.zoo.architecture import Architecture, ArchitectureDoesNotFit, ImageShape
from adapt.zoo.catalogue import find_architecture
from adapt.zoo.initial import initial_network
from app.database import Sessions, reading, unit_of_work
from app.datasets.records import Dataset
from app.json_body import InvalidFields
from app.models.records import UNTRAINED, Model, NewModel
from app.models.repository import CHECK_TASK, ModelRepository
from app.quotas import UNLIMITED, QuotaRepository, Quotas
from app.records import Caller
from app.storage import Blob, Storage
from app.tasks.queue import TaskQueue

SMALLEST_SIDE = 32
"""Pixels: smaller images, such as the digits' 8 x 8, are enlarged to this."""


class ZooModels:
    """Threads may share one. `scratch` is a folder for files that live as long as a call."""

    def __init__(self, sessions: Sessions, storage: Storage, scratch: Path, *, quotas: Quotas = UNLIMITED) -> None:
        self._sessions, self._storage, self._scratch, self._quotas = sessions, storage, scratch, quotas

    def make_model(self, caller: Caller, name: str, dataset: Dataset) -> tuple[Model, bool]:
        """The model of the architecture `name` for the images and classes of `dataset`, and whether it is new.

        Its stored weights only say how it is built: a job trains its own, from its own seed, before it adapts them.
        Raises InvalidFields where the architecture cannot be built for these images, or the data set is not read yet;
        QuotaExceeded.
        """
        architecture = find_architecture(name)
        if architecture is None:
            raise LookupError(f"{name} is no zoo name")
        if dataset.state == "refused":
            detail = (dataset.error or {}).get("detail", "it could not be read")
            raise InvalidFields([{"pointer": "/dataset", "detail": f"data set {dataset.id} was refused: {detail}"}])
        if dataset.image_shape is None or dataset.classes is None:
            detail = (
                f"the images of {dataset.id} are still being read; an architecture is built for their size: try again"
            )
            raise InvalidFields([{"pointer": "/dataset", "detail": detail}])
        shape = image_shape_for(architecture, name, dataset.image_shape)
        try:
            graph = architecture.graph(len(dataset.classes), shape)
        except ArchitectureDoesNotFit as error:
            bare = architecture.name.removesuffix(f"_{architecture.image_shape[1]}")
            larger = f"{bare}_{architecture.family.image_shape[1]}"
            detail = f"{error}; a name with a resolution, {larger}, has the images resized to that"
            raise InvalidFields([{"pointer": "/model", "detail": detail}]) from error
        with TemporaryDirectory(prefix="zoo-", dir=self._scratch) as folder:
            path = Path(folder) / "network.safetensors"
            write_safetensors_file(initial_network(graph, seed=0), path)
            weights = self._storage.put(path)
        return self._keep(caller, _described(architecture, graph, dataset.classes, weights), weights)

    def _keep(self, caller: Caller, new: NewModel, weights: Blob) -> tuple[Model, bool]:
        if (known := self._find_same(caller, new)) is not None:
            return known, False
        try:
            with unit_of_work(self._sessions) as session:
                QuotaRepository(session, self._quotas).refuse_model(caller, weights.bytes)
                model = ModelRepository(session).add_model(caller, new, weights)
                TaskQueue(session).enqueue_task(caller.id, CHECK_TASK, model.id, {"model": model.id})
                return model, True
        except IntegrityError:
            if (known := self._find_same(caller, new)) is None:
                raise
            return known, False  # another request was quicker

    def _find_same(self, caller: Caller, new: NewModel) -> Model | None:
        with reading(self._sessions) as session:
            return ModelRepository(session).find_same(caller, new)


def image_shape_for(architecture: Architecture, name: str, images: ImageShape) -> ImageShape:
    """(C, H, W) to build for `images` of (H, W, C): the resolution in `name` where it has one; otherwise the images'
    own size, enlarged to 32 pixels on the shorter side, and no larger than the paper's."""
    height, width, channels = images
    size = architecture.image_shape[1]
    if name.endswith(f"_{size}") or min(height, width) > size:
        return channels, size, size
    scale = max(1.0, SMALLEST_SIDE / min(height, width))
    return channels, round(height * scale), round(width * scale)


def _described(architecture: Architecture, graph: Graph, classes: tuple[str, ...], weights: Blob) -> NewModel:
    needed = costs(graph)
    return NewModel(
        name=architecture.name,
        format=UNTRAINED,
        architecture=architecture.name,
        sha256=weights.sha256,
        bytes=weights.bytes,
        graph=graph,
        class_count=len(classes),
        classes=classes,
        normalization=default_normalization(graph.input_shape[0]),
        params=needed.params,
        macs=needed.macs,
        memory_bytes=needed.memory_bytes,
        by_kind=shares_by_kind(graph),
    )
