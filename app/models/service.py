"""Taking in a network file, and what may be done with models afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.exc import IntegrityError

from adapt.checkpoint import network_format
from adapt.formats.sandbox import read_in_child
from adapt.graph.costs import check_memory, costs
from adapt.graph.network import Graph
from adapt.graph.shapes import check_classifier, infer_shapes
from adapt.graph.shares import shares_by_kind
from adapt.spec import Normalization
from adapt.zoo.architecture import ArchitectureNotFound
from adapt.zoo.catalogue import get_architecture
from app.blobs import delete_with_files
from app.database import Sessions, reading, unit_of_work
from app.labels import label_from_filename, parse_name
from app.models.form_fields import parse_classes, parse_normalization
from app.models.records import Model, NewModel
from app.models.repository import CHECK_TASK, ModelRepository
from app.newest_first import Position
from app.paging import Page
from app.quotas import UNLIMITED, QuotaRepository, Quotas
from app.read_limits import ReadLimits
from app.records import Caller
from app.storage import Blob, Storage
from app.tasks.queue import TaskQueue
from app.uploads import FieldRefused, UploadedFile


@dataclass(frozen=True, kw_only=True)
class ModelFields:
    """The form's text fields as they came; None where a field was not sent."""

    name: str | None = None
    normalization: str | None = None
    classes: str | None = None
    architecture: str | None = None


class ModelService:
    """Threads may share one. `scratch` is a folder for files that live as long as a call; a network of which one image
    takes more than `limits.max_network_bytes` would end its worker, and is refused."""

    def __init__(
        self,
        sessions: Sessions,
        storage: Storage,
        scratch: Path,
        limits: ReadLimits,
        *,
        quotas: Quotas = UNLIMITED,
    ) -> None:
        self._sessions, self._storage, self._scratch = sessions, storage, scratch
        self._limits, self._quotas = limits, quotas

    def store_upload(self, caller: Caller, file: UploadedFile, fields: ModelFields) -> tuple[Model, bool]:
        """The model of an upload, and whether it is new: the same upload of the same owner gives the one there is.

        Reads the file in a child process, so it takes a second or more and must not run in an event loop.
        Whatever is refused leaves neither row nor blob. Raises FieldRefused, NetworkRefused and its kinds, StorageFull.
        """
        architecture = None if fields.architecture is None else _zoo_name(fields.architecture)
        with self._read(file, architecture) as (path, graph):
            check_memory(graph, self._limits.max_network_bytes)
            new = _describe(file, fields, graph, architecture)
            if (known := self._find_same(caller, new)) is not None:
                return known, False
            with reading(self._sessions) as session:  # before anything is written
                QuotaRepository(session, self._quotas).refuse_model(caller, path.stat().st_size)
            return self._keep(caller, new, self._storage.put(path))

    def get_model(self, caller: Caller, model_id: str) -> Model:
        """Raises ModelNotFound."""
        with reading(self._sessions) as session:
            return ModelRepository(session).get_model(caller, model_id)

    def list_models(self, caller: Caller, *, after: Position | None, limit: int) -> Page[Model]:
        with reading(self._sessions) as session:
            return ModelRepository(session).list_models(caller, after=after, limit=limit)

    def delete_model(self, caller: Caller, model_id: str) -> None:
        """With its files. Raises ModelNotFound, ModelInUse."""
        delete_with_files(
            self._sessions, self._storage, lambda session: ModelRepository(session).delete_model(caller, model_id)
        )

    @contextmanager
    def _read(self, file: UploadedFile, architecture: str | None) -> Iterator[tuple[Path, Graph]]:
        """The checkpoint that the child wrote, for the length of the block, and its graph."""
        with TemporaryDirectory(prefix="read-", dir=self._scratch) as folder:
            path = Path(folder) / "network.safetensors"
            yield path, read_in_child(file.path, path, self._limits.of_network(file.bytes), architecture=architecture)

    def _keep(self, caller: Caller, new: NewModel, weights: Blob) -> tuple[Model, bool]:
        try:
            with unit_of_work(self._sessions) as session:
                QuotaRepository(session, self._quotas).refuse_model(caller, weights.bytes)
                model = ModelRepository(session).add_model(caller, new, weights)
                TaskQueue(session).enqueue_task(caller.id, CHECK_TASK, model.id, {"model": model.id})
                return model, True
        except IntegrityError:
            if (known := self._find_same(caller, new)) is None:
                raise
            return known, False  # the same upload, in another request, was quicker

    def _find_same(self, caller: Caller, new: NewModel) -> Model | None:
        with reading(self._sessions) as session:
            return ModelRepository(session).find_same(caller, new)


def _zoo_name(text: str) -> str:
    """In its shortest form, so that one upload under two spellings is one model. Raises FieldRefused."""
    try:
        return get_architecture(text).name
    except ArchitectureNotFound as error:
        raise FieldRefused("/architecture", str(error)) from error


def _describe(file: UploadedFile, fields: ModelFields, graph: Graph, architecture: str | None) -> NewModel:
    outputs = check_classifier(graph, infer_shapes(graph))
    needed = costs(graph)
    return NewModel(
        name=parse_name(fields.name, label_from_filename(file.filename, "network")),
        format=network_format(file.path),
        architecture=architecture,
        sha256=file.sha256,
        bytes=file.bytes,
        graph=graph,
        class_count=outputs,
        classes=parse_classes(fields.classes, outputs),
        normalization=_normalization(fields.normalization, graph.input_shape[0], architecture),
        params=needed.params,
        macs=needed.macs,
        memory_bytes=needed.memory_bytes,
        by_kind=shares_by_kind(graph),
    )


def _normalization(text: str | None, channels: int, architecture: str | None) -> Normalization:
    if text is None and architecture is not None:
        return get_architecture(architecture).normalization(channels)
    return parse_normalization(text, channels)
