"""Taking in labelled images, and what may be done with data sets afterwards."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy.exc import IntegrityError

from adapt.data.decoding import decode_listed, list_images
from adapt.data.inspection import inspect_npz
from adapt.data.sniffing import sniff_format
from app.blobs import delete_with_files
from app.database import Sessions, reading, unit_of_work
from app.datasets.intake import Ingested, keep_decoded
from app.datasets.records import Dataset, NewDataset
from app.datasets.report import Thumbnail, report_of, thumbnail_of
from app.datasets.repository import DatasetRepository
from app.labels import label_from_filename, parse_name
from app.newest_first import Position
from app.paging import Page
from app.quotas import UNLIMITED, QuotaRepository, Quotas
from app.read_limits import ReadLimits
from app.records import Caller
from app.storage import Storage
from app.uploads import UploadedFile

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class IntakeLimits:
    """Archives of more images, or of more bytes, than the two are decoded by a worker; `reads` are everybody's."""

    reads: ReadLimits
    images_at_once: int = 1000
    bytes_at_once: int = 64 * MIB


class DatasetService:
    """Threads may share one. `scratch` is a folder for files that live as long as a call."""

    def __init__(
        self,
        sessions: Sessions,
        storage: Storage,
        scratch: Path,
        limits: IntakeLimits,
        *,
        quotas: Quotas = UNLIMITED,
    ) -> None:
        self._sessions, self._storage, self._scratch = sessions, storage, scratch
        self._limits, self._quotas = limits, quotas

    def store_upload(self, caller: Caller, file: UploadedFile, name: str | None = None) -> tuple[Dataset, bool]:
        """The data set of an upload, and whether it is new: the same bytes of the same owner give the one there is.

        The file is read in a child process first, so it takes a while and must not run in an event loop. A large
        archive is only listed here: its data set is `checking` until a worker has decoded it.
        Whatever is refused leaves neither row nor blob. Raises FieldRefused, DatasetRefused, QuotaExceeded,
        StorageFull.
        """
        label = parse_name(name, label_from_filename(file.filename, "data set"))
        if (known := self._find_same(caller, file.sha256)) is not None:
            return known, False
        with reading(self._sessions) as session:  # before anything is written
            QuotaRepository(session, self._quotas).refuse_dataset(caller, file.bytes)
        kind = sniff_format(file.path)
        with TemporaryDirectory(prefix="inspect-", dir=self._scratch) as folder:
            ingested = self._read(file, kind, Path(folder))
        blob = self._storage.put(file.path)
        new = NewDataset(name=label, format=kind, sha256=blob.sha256, bytes=blob.bytes, ingested=ingested)
        try:
            with unit_of_work(self._sessions) as session:
                QuotaRepository(session, self._quotas).refuse_dataset(caller, new.stored_bytes)
                return DatasetRepository(session).add_dataset(caller, new), True
        except IntegrityError:
            if (known := self._find_same(caller, file.sha256)) is None:
                raise
            return known, False  # the same upload, in another request, was quicker

    def get_dataset(self, caller: Caller, dataset_id: str) -> Dataset:
        """Raises DatasetNotFound."""
        with reading(self._sessions) as session:
            return DatasetRepository(session).get_dataset(caller, dataset_id)

    def get_report(self, caller: Caller, dataset_id: str) -> tuple[Dataset, dict[str, Any]]:
        """Raises DatasetNotFound."""
        dataset = self.get_dataset(caller, dataset_id)
        return dataset, report_of(dataset)

    def get_thumbnail(self, caller: Caller, dataset_id: str, number: int) -> Thumbnail:
        """Raises DatasetNotFound, ThumbnailNotFound, BlobMissing."""
        return thumbnail_of(self.get_dataset(caller, dataset_id), number, self._storage)

    def list_datasets(self, caller: Caller, *, after: Position | None, limit: int) -> Page[Dataset]:
        with reading(self._sessions) as session:
            return DatasetRepository(session).list_datasets(caller, after=after, limit=limit)

    def delete_dataset(self, caller: Caller, dataset_id: str) -> None:
        """With its files. Raises DatasetNotFound, DatasetBuiltIn, DatasetInUse."""
        delete_with_files(
            self._sessions, self._storage, lambda session: DatasetRepository(session).delete_dataset(caller, dataset_id)
        )

    def _find_same(self, caller: Caller, sha256: str) -> Dataset | None:
        with reading(self._sessions) as session:
            return DatasetRepository(session).find_same(caller, sha256)

    def _read(self, file: UploadedFile, kind: str, folder: Path) -> Ingested | None:
        """None for an archive that is sound as far as its directory says, and left to a worker."""
        if kind == "npz":
            return self._read_npz(file, folder)
        limits = self._limits.reads.of_images()
        images = list_images(file.path, kind, folder, limits)
        if images > self._limits.images_at_once or file.bytes > self._limits.bytes_at_once:
            return None
        return keep_decoded(self._storage, folder, decode_listed(folder, limits))

    def _read_npz(self, file: UploadedFile, folder: Path) -> Ingested:
        reads = self._limits.reads
        facts = inspect_npz(file.path, folder, reads.of_arrays(), max_bytes=reads.max_unpacked_bytes)
        return Ingested(facts=facts, report=dict(facts.report), sample=self._storage.put(folder / "sample.npy"))
