"""The only SQL about stored files. The files themselves: app/storage.py."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.database import Sessions, database_now, unit_of_work
from app.storage import Storage
from app.tables import BlobRow, CheckpointFileRow, DatasetRow, EpochStateRow, JobValueRow, ModelRow, TaskRow


class BlobRepository:
    """Rows of files that are stored already. Never commits."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add_blob(self, sha256: str, size_bytes: int) -> None:
        """Notes a stored file; a second time only makes it new again. Write the file first (Storage.put)."""
        values = {"sha256": sha256, "bytes": size_bytes, "created_at": database_now(self._session)}
        insert = sqlite.insert if self._session.get_bind().dialect.name == "sqlite" else postgresql.insert
        # Renewed rather than left alone: that also locks the row, so that no sweep takes it from under us.
        noted = insert(BlobRow).values(values)
        self._session.execute(
            noted.on_conflict_do_update(index_elements=["sha256"], set_={"created_at": values["created_at"]})
        )

    def forget_unreferenced(self, *, older_than_s: float = 3600.0) -> None:
        """Drops the rows of files that nothing points at any more; a sweep of the storage then removes the files."""
        old = BlobRow.created_at < database_now(self._session) - timedelta(seconds=older_than_s)
        self._forget(old)

    def forget_unused(self, sha256: str) -> bool:
        """Drops one file's row if nothing points at it; whether it did."""
        return bool(self._forget(BlobRow.sha256 == sha256))

    def list_hashes(self) -> frozenset[str]:
        """Every hash that a row names: what a sweep of the storage must leave."""
        return frozenset(self._session.scalars(select(BlobRow.sha256)))

    def _forget(self, which: ColumnElement[bool]) -> list[str]:
        users = (
            ModelRow.weights_sha256,
            ModelRow.onnx_sha256,
            DatasetRow.sha256,
            DatasetRow.images_sha256,
            DatasetRow.labels_sha256,
            DatasetRow.sample_sha256,
            CheckpointFileRow.sha256,
            EpochStateRow.sha256,
            JobValueRow.value["sha256"].as_string(),  # a file that a resumed job must find again
        )
        unused = [~exists().where(column == BlobRow.sha256) for column in users]
        for file in ("candidate", "reference"):  # what a device has been asked to measure
            asked = TaskRow.payload[file].as_string() == BlobRow.sha256
            unused.append(~exists().where(asked, TaskRow.lane == "device", TaskRow.state.in_(("queued", "running"))))
        gone = delete(BlobRow).where(which, *unused).execution_options(synchronize_session=False)
        return list(self._session.scalars(gone.returning(BlobRow.sha256)))


def discard(sessions: Sessions, storage: Storage, sha256: str, *, written_before: datetime) -> None:
    """Removes one stored file at once, unless a row needs it, or somebody has sent the same bytes again since
    `written_before` (their row may not be committed yet): then a sweep will see to it."""
    with unit_of_work(sessions) as session:
        unused = BlobRepository(session).forget_unused(sha256)
    if unused:
        storage.discard(sha256, written_before=written_before)


def sweep(sessions: Sessions, storage: Storage) -> list[str]:
    """Housekeeping, about once an hour: removes the stored files that no row needs any more, and says which.

    What is younger than an hour stays: its row may not be committed yet.
    """
    with unit_of_work(sessions) as session:
        blobs = BlobRepository(session)
        blobs.forget_unreferenced()
        named = blobs.list_hashes()
    return storage.sweep(named)
