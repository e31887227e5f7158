"""Taking in labelled images, and what may be done with data sets afterwards."""

from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.exc import IntegrityError

from adapt.child_process import ChildLimits
from adapt.data.inspection import DatasetFacts, inspect_npz
from app.database import Sessions, reading, unit_of_work
from app.datasets.records import Dataset, NewDataset
from app.datasets.repository import DatasetRepository
from app.labels import label_from_filename, parse_name
from app.newest_first import Position
from app.paging import Page
from app.records import Caller
from app.storage import Storage
from app.uploads import READ_SLOTS, UploadedFile

MIB = 1024 * 1024


class DatasetService:
    """Threads may share one. `scratch` is a folder for files that live as long as a call; an .npz file may unpack to
    `max_unpacked_bytes` there."""

    def __init__(
        self, sessions: Sessions, storage: Storage, scratch: Path, *, max_unpacked_bytes: int = 8192 * MIB
    ) -> None:
        self._sessions, self._storage, self._scratch = sessions, storage, scratch
        self._max_unpacked_bytes = max_unpacked_bytes

    def store_upload(self, caller: Caller, file: UploadedFile, name: str | None = None) -> tuple[Dataset, bool]:
        """The data set of an upload, and whether it is new: the same bytes of the same owner give the one there is.

        Every byte is read in a child process first, so it takes a while and must not run in an event loop.
        Whatever is refused leaves neither row nor blob. Raises FieldRefused, DatasetRefused, StorageFull.
        """
        label = parse_name(name, label_from_filename(file.filename, "data set"))
        if (known := self._find_same(caller, file.sha256)) is not None:
            return known, False
        facts = self._inspect(file)
        blob = self._storage.put(file.path)
        new = NewDataset(
            name=label,
            format="npz",
            sha256=blob.sha256,
            bytes=blob.bytes,
            classes=facts.classes,
            counts=facts.counts,
            image_shape=facts.image_shape,
            splits=dict(facts.splits),
            notes=facts.notes,
        )
        try:
            with unit_of_work(self._sessions) as session:
                return DatasetRepository(session).add_dataset(caller, new), True
        except IntegrityError:
            if (known := self._find_same(caller, file.sha256)) is None:
                raise
            return known, False  # the same upload, in another request, was quicker

    def get_dataset(self, caller: Caller, dataset_id: str) -> Dataset:
        """Raises DatasetNotFound."""
        with reading(self._sessions) as session:
            return DatasetRepository(session).get_dataset(caller, dataset_id)

    def list_datasets(self, caller: Caller, *, after: Position | None, limit: int) -> Page[Dataset]:
        with reading(self._sessions) as session:
            return DatasetRepository(session).list_datasets(caller, after=after, limit=limit)

    def delete_dataset(self, caller: Caller, dataset_id: str) -> None:
        """Raises DatasetNotFound, DatasetBuiltIn, DatasetInUse."""
        with unit_of_work(self._sessions) as session:
            DatasetRepository(session).delete_dataset(caller, dataset_id)

    def _find_same(self, caller: Caller, sha256: str) -> Dataset | None:
        with reading(self._sessions) as session:
            return DatasetRepository(session).find_same(caller, sha256)

    def _inspect(self, file: UploadedFile) -> DatasetFacts:
        # Large arrays are mapped from the scratch folder, and mappings count as address space too.
        limits = ChildLimits(memory_bytes=1024 * MIB + 3 * self._max_unpacked_bytes, cpu_s=300, wall_s=600)
        with TemporaryDirectory(prefix="inspect-", dir=self._scratch) as folder, READ_SLOTS:
            return inspect_npz(file.path, Path(folder), limits, max_bytes=self._max_unpacked_bytes)
