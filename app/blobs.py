"""The only SQL about stored files. The files themselves: app/storage.py."""

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.database import database_now
from app.tables import BlobRow


class BlobRepository:
    """Rows of files that are stored already. Never commits."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add_blob(self, sha256: str, size_bytes: int) -> None:
        """Notes a stored file; a second time changes nothing. Write the file first (Storage.put)."""
        values = {"sha256": sha256, "bytes": size_bytes, "created_at": database_now(self._session)}
        insert = sqlite.insert if self._session.get_bind().dialect.name == "sqlite" else postgresql.insert
        self._session.execute(insert(BlobRow).values(values).on_conflict_do_nothing(index_elements=["sha256"]))

    def list_hashes(self) -> frozenset[str]:
        """Every hash that a row names: what a sweep of the storage must leave."""
        return frozenset(self._session.scalars(select(BlobRow.sha256)))
