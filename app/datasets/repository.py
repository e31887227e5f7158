"""The only SQL about data sets. Hands out records, never rows; never commits."""

from datetime import timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, and_, delete, exists, select, update
from sqlalchemy.orm import Session

from app.blobs import BlobRepository
from app.database import database_now
from app.datasets.intake import DECODE_TASK, Ingested
from app.datasets.records import Dataset, DatasetBuiltIn, DatasetInUse, DatasetNotFound, NewDataset
from app.newest_first import Position, behind
from app.ownership import seen_by
from app.paging import Page, cut_page, newest_first
from app.problem_documents import problem_document
from app.records import SYSTEM_OWNER, Caller, CheckState, new_id
from app.tables import DatasetRow, JobRow, TaskRow
from app.tasks.queue import TaskQueue

REFUSAL_SHOWN_S = 24 * 3600.0
"""How long a data set that a worker refused is listed with its reason."""


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
        """A data set that is ready, or `checking` where it is still to be decoded (a task of the same transaction).

        Its files are stored already, the row comes after the blobs.
        """
        BlobRepository(self._session).add_blob(new.sha256, new.bytes)
        row = DatasetRow(
            id=new_id("dst"),
            owner=caller.id,
            identity=new.sha256,
            name=new.name,
            state="checking" if new.ingested is None else "ready",
            error=None,
            format=new.format,
            sha256=new.sha256,
            bytes=new.bytes,
            created_at=database_now(self._session),
            **({} if new.ingested is None else self._read_values(new.ingested)),
        )
        self._session.add(row)
        self._session.flush()
        if new.ingested is None:
            TaskQueue(self._session).enqueue_task(caller.id, DECODE_TASK, row.id, {"dataset": row.id})
        return _record(row)

    def finish_decode(self, dataset_id: str, ingested: Ingested) -> None:
        """For the worker that decoded it (its fence is checked in the same transaction): the data set is ready."""
        values = {"state": "ready", "error": None, **self._read_values(ingested)}
        self._session.execute(update(DatasetRow).where(DatasetRow.id == dataset_id).values(values))

    def refuse(self, dataset_id: str, problem: dict[str, Any]) -> None:
        """For the worker: it cannot be decoded. The row stays for a while to say why; it lets go of the file, and the
        same bytes may be sent again."""
        self._refuse(DatasetRow.id == dataset_id, problem)

    def refuse_abandoned(self) -> None:
        """For a worker: data sets whose decoding ended every worker; jobs would wait for ever."""
        given_up = select(TaskRow.key).where(TaskRow.kind == DECODE_TASK, TaskRow.state == "failed")
        problem = problem_document(
            "check-failed", "Check failed", 422, "decoding this data set ended every worker that tried it"
        )
        self._refuse(and_(DatasetRow.state == "checking", DatasetRow.id.in_(given_up)), problem)

    def forget_refused(self, *, older_than_s: float = REFUSAL_SHOWN_S) -> None:
        """For a worker's housekeeping: whoever sent it has had the time to read why, and no job names it."""
        old = DatasetRow.created_at < database_now(self._session) - timedelta(seconds=older_than_s)
        used = exists().where(JobRow.dataset_id == DatasetRow.id)
        gone = delete(DatasetRow).where(DatasetRow.state == "refused", old, ~used)
        self._session.execute(gone.execution_options(synchronize_session=False))

    def _refuse(self, which: ColumnElement[bool], problem: dict[str, Any]) -> None:
        values = {"state": "refused", "error": problem, "sha256": None, "identity": DatasetRow.id}
        refused = update(DatasetRow).where(which).values(values)
        self._session.execute(refused.execution_options(synchronize_session=False))

    def _read_values(self, ingested: Ingested) -> dict[str, Any]:
        facts, blobs = ingested.facts, BlobRepository(self._session)
        for blob in (ingested.images, ingested.labels, ingested.sample):
            if blob is not None:
                blobs.add_blob(blob.sha256, blob.bytes)
        return {
            "classes": list(facts.classes),
            "counts": facts.counts,
            "image_shape": list(facts.image_shape),
            "splits": dict(facts.splits),
            "report": {**ingested.report, "notes": list(facts.notes)},
            "images_sha256": None if ingested.images is None else ingested.images.sha256,
            "labels_sha256": None if ingested.labels is None else ingested.labels.sha256,
            "sample_sha256": None if ingested.sample is None else ingested.sample.sha256,
        }

    def delete_dataset(self, caller: Caller, dataset_id: str) -> set[str]:
        """The hashes of its files, which nothing may need any more.

        Raises DatasetNotFound; DatasetBuiltIn; DatasetInUse while a job, running or over, points at it.
        """
        if self.get_dataset(caller, dataset_id).owner == SYSTEM_OWNER:
            raise DatasetBuiltIn(dataset_id)
        # Locked: a job that is just being added waits, or is seen here. Files come with a decoding that ends meanwhile.
        row = select(DatasetRow).where(DatasetRow.id == dataset_id).with_for_update()
        known = self._session.scalar(row.execution_options(populate_existing=True))
        if known is None:
            raise DatasetNotFound(dataset_id)
        job_id = self._session.scalar(select(JobRow.id).where(JobRow.dataset_id == dataset_id).limit(1))
        if job_id is not None:
            raise DatasetInUse(dataset_id, job_id)
        self._session.execute(delete(DatasetRow).where(DatasetRow.id == dataset_id))
        TaskQueue(self._session).forget_about("dataset", dataset_id)
        files = (known.sha256, known.images_sha256, known.labels_sha256, known.sample_sha256)
        return {sha256 for sha256 in files if sha256 is not None}


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
        images_sha256=row.images_sha256,
        labels_sha256=row.labels_sha256,
        sample_sha256=row.sample_sha256,
        created_at=row.created_at,
    )
