"""The only SQL about data sets. Hands out records, never rows; never commits."""

from typing import cast

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.blobs import BlobRepository
from app.database import database_now
from app.datasets.records import Dataset, DatasetBuiltIn, DatasetInUse, DatasetNotFound, NewDataset
from app.newest_first import Position, behind
from app.ownership import seen_by
from app.paging import Page, cut_page, newest_first
from app.records import SYSTEM_OWNER, Caller, CheckState, new_id
from app.tables import DatasetRow, JobRow


class DatasetRepository:
    """Data sets of the caller, and the built-in one; of somebody else's it says that there are none."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find_dataset(self, caller: Caller, dataset_id: str) -> Dataset | None:
        row = self._session.scalar(
            select(DatasetRow).where(DatasetRow.id == dataset_id, seen_by(caller, DatasetRow.owner))
        )
        return None if row is None else _record(row)

    def get_dataset(self, caller: Caller, dataset_id: str) -> Dataset:
        """Raises DatasetNotFound."""
        if (dataset := self.find_dataset(caller, dataset_id)) is None:
            raise DatasetNotFound(dataset_id)
        return dataset

    def find_same(self, caller: Caller, sha256: str) -> Dataset | None:
        """The caller's data set from the same bytes, if there is one."""
        same = select(DatasetRow).where(DatasetRow.owner == caller.id, DatasetRow.identity == sha256)
        row = self._session.scalar(same)
        return None if row is None else _record(row)

    def list_datasets(self, caller: Caller, *, after: Position | None, limit: int) -> Page[Dataset]:
        """Newest first."""
        rows = select(DatasetRow).where(
            seen_by(caller, DatasetRow.owner), behind(DatasetRow.created_at, DatasetRow.id, after)
        )
        rows = rows.order_by(DatasetRow.created_at.desc(), DatasetRow.id.desc()).limit(limit + 1)
        found = [_record(row) for row in self._session.scalars(rows)]
        return cut_page(found, limit, lambda dataset: newest_first(dataset.created_at, dataset.id))

    def add_dataset(self, caller: Caller, new: NewDataset) -> Dataset:
        """A data set that is ready. Its file is stored already, the row comes after the blob."""
        BlobRepository(self._session).add_blob(new.sha256, new.bytes)
        row = DatasetRow(
            id=new_id("dst"),
            owner=caller.id,
            identity=new.sha256,
            name=new.name,
            state="ready",
            error=None,
            format=new.format,
            sha256=new.sha256,
            bytes=new.bytes,
            classes=list(new.classes),
            counts=new.counts,
            image_shape=list(new.image_shape),
            splits=new.splits,
            report={"notes": list(new.notes)},
            created_at=database_now(self._session),
        )
        self._session.add(row)
        self._session.flush()
        return _record(row)

    def delete_dataset(self, caller: Caller, dataset_id: str) -> None:
        """Raises DatasetNotFound; DatasetBuiltIn; DatasetInUse while a job, running or over, points at it.

        The blob stays until a sweep finds that no row names it.
        """
        if self.get_dataset(caller, dataset_id).owner == SYSTEM_OWNER:
            raise DatasetBuiltIn(dataset_id)
        job_id = self._session.scalar(select(JobRow.id).where(JobRow.dataset_id == dataset_id).limit(1))
        if job_id is not None:
            raise DatasetInUse(dataset_id, job_id)
        self._session.execute(delete(DatasetRow).where(DatasetRow.id == dataset_id))


def _record(row: DatasetRow) -> Dataset:
    shape = row.image_shape
    return Dataset(
        id=row.id,
        owner=row.owner,
        name=row.name,
        state=cast(CheckState, row.state),  # a CHECK of the table allows no other
        error=row.error,
        format=row.format,
        sha256=row.sha256,
        bytes=row.bytes,
        classes=None if row.classes is None else tuple(row.classes),
        counts=row.counts,
        image_shape=None if shape is None else (shape[0], shape[1], shape[2]),
        splits=row.splits,
        report=row.report,
        created_at=row.created_at,
    )
