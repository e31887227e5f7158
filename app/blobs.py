"""The only SQL about stored files. The files themselves: app/storage.py.

No row ever names a file that is not there, whatever clocks say: whoever names a file holds its row and looks once more
before it commits (`add_blob`), and whoever removes one holds the same row meanwhile (`_remove`).
"""

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, exists, select
from sqlalchemy import delete as delete_from
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.database import Sessions, database_now, reading, storage_of, unit_of_work
from app.storage import BlobVanished, Storage, StorageError
from app.tables import BlobRow, CheckpointFileRow, DatasetRow, EpochStateRow, JobValueRow, ModelRow, TaskRow

log = logging.getLogger(__name__)

SPARED_S = 3600.0
"""How long a file that no row names may wait for its row. Only courtesy: who comes later is told to try again."""
_AT_ONCE = 200


class BlobRepository:
    """Rows of files that are stored already. Never commits."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add_blob(self, sha256: str, size_bytes: int) -> None:
        """Notes a stored file; a second time only makes it new again. Write the file first (Storage.put).

        Raises BlobVanished when a sweep was quicker.
        """
        values = {"sha256": sha256, "bytes": size_bytes, "created_at": database_now(self._session)}
        # Renewed rather than left alone: that also locks the row, so that no sweep takes it from under us.
        self._session.execute(
            self._insert(values).on_conflict_do_update(
                index_elements=["sha256"], set_={"created_at": values["created_at"]}
            )
        )
        storage = storage_of(self._session)
        if storage is not None and not storage.exists(sha256):
            raise BlobVanished(sha256)

    def stand_in(self, sha256: str) -> bool:
        """Takes the place of a row that is not there, until this transaction is rolled back; False when a row is."""
        values = {"sha256": sha256, "bytes": 0, "created_at": database_now(self._session)}
        new = self._insert(values).on_conflict_do_nothing().returning(BlobRow.sha256)
        return self._session.execute(new).first() is not None

    def list_unused(self, *, older_than_s: float = SPARED_S) -> list[str]:
        """The files whose rows nothing points at any more."""
        old = BlobRow.created_at < database_now(self._session) - timedelta(seconds=older_than_s)
        return list(self._session.scalars(select(BlobRow.sha256).where(old, *_unused())))

    def forget_unused(self, *hashes: str) -> list[str]:
        """Drops the rows of those files that nothing points at, and says which; a sweep then removes the files."""
        # Locked first, looked at afterwards: whoever has just named one holds it, or has committed by now.
        these = select(BlobRow.sha256).where(BlobRow.sha256.in_(hashes))
        free = self._session.scalars(these.with_for_update(skip_locked=True)).all()
        gone = delete_from(BlobRow).where(BlobRow.sha256.in_(free), *_unused()).returning(BlobRow.sha256)
        return list(self._session.scalars(gone.execution_options(synchronize_session=False)))

    def list_hashes(self) -> frozenset[str]:
        """Every hash that a row names: what a sweep of the storage must leave."""
        return frozenset(self._session.scalars(select(BlobRow.sha256)))

    def _insert(self, values: dict[str, object]) -> "sqlite.Insert | postgresql.Insert":
        insert = sqlite.insert if self._session.get_bind().dialect.name == "sqlite" else postgresql.insert
        return insert(BlobRow).values(values)


def _unused() -> list[ColumnElement[bool]]:
    """Conditions of a blob's row that nothing points at."""
    users = (
        ModelRow.weights_sha256,
        ModelRow.onnx_sha256,
        DatasetRow.sha256,
        DatasetRow.images_sha256,
        DatasetRow.labels_sha256,
        DatasetRow.sample_sha256,
        CheckpointFileRow.sha256,
        EpochStateRow.sha256,
    )
    by_column = [~exists().where(column == BlobRow.sha256) for column in users]
    return [*by_column, *(BlobRow.sha256.not_in(named) for named in _named_in_documents())]


def _named_in_documents() -> list[Select[str]]:
    """Hashes in JSON, which no index finds: they are gathered once a statement, not looked for file by file."""
    value = JobValueRow.value["sha256"].as_string()  # a file that a resumed job must find again
    named = [select(value).where(value.is_not(None))]
    for file in ("candidate", "reference"):  # what a device has been asked to measure
        asked = TaskRow.payload[file].as_string()
        is_open = (TaskRow.lane == "device", TaskRow.state.in_(("queued", "running")))
        named.append(select(asked).where(*is_open, asked.is_not(None)))
    return named


def delete_with_files(sessions: Sessions, storage: Storage, delete: Callable[[Session], Collection[str]]) -> None:
    """A unit of work in which `delete` removes rows and says which files nothing may need any more; then those go."""
    with unit_of_work(sessions) as session:
        files, now = delete(session), database_now(session)
    discard(sessions, storage, files, written_before=now)


def discard(sessions: Sessions, storage: Storage, hashes: Collection[str], *, written_before: datetime) -> None:
    """Removes stored files at once, but for those that a row needs, and those that somebody has sent again since
    `written_before` (their row may not be committed yet): a sweep will see to them, as to what a storage that is away
    keeps."""
    for some in _batches(sorted(hashes)):
        with unit_of_work(sessions) as session:
            unused = BlobRepository(session).forget_unused(*some)
        try:
            for sha256 in unused:
                if storage.written_before(sha256, written_before):
                    _remove(sessions, storage, sha256)
        except StorageError as error:
            log.warning("%d stored files are left to the next sweep: %r", len(unused), error)


def sweep(sessions: Sessions, storage: Storage, *, older_than_s: float = SPARED_S) -> list[str]:
    """Housekeeping, about once an hour: removes the stored files that no row needs any more, and says which."""
    with reading(sessions) as session:
        unused = BlobRepository(session).list_unused(older_than_s=older_than_s)
    for some in _batches(unused):
        with unit_of_work(sessions) as session:
            BlobRepository(session).forget_unused(*some)
    with reading(sessions) as session:
        named = BlobRepository(session).list_hashes()
    storage.clear_incoming(older_than_s=SPARED_S)
    unnamed = storage.list_unnamed(named, older_than_s=older_than_s)
    return [sha256 for sha256 in unnamed if _remove(sessions, storage, sha256)]


def _batches(hashes: Sequence[str]) -> list[Sequence[str]]:
    """Few enough for one statement, and for one short transaction."""
    return [hashes[start : start + _AT_ONCE] for start in range(0, len(hashes), _AT_ONCE)]


def _remove(sessions: Sessions, storage: Storage, sha256: str) -> bool:
    """Removes a stored file unless a row names it. Who wants to name it meanwhile waits, and then finds it gone."""
    with sessions() as session:
        unnamed = BlobRepository(session).stand_in(sha256)
        if unnamed:
            storage.delete(sha256)
        session.rollback()
    return unnamed
