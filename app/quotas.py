"""How much one owner may keep here. Checked in the transaction that adds the row, so that two at once are counted."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import func, select, union
from sqlalchemy.orm import Session

from app.database import take_turns
from app.records import Caller
from app.settings import Settings
from app.tables import (
    BlobRow,
    CheckpointFileRow,
    CheckpointRow,
    DatasetRow,
    EpochStateRow,
    JobRow,
    JobValueRow,
    ModelRow,
    TargetRow,
)


class QuotaExceeded(Exception):
    """`name` is the setting's and the one in /v1/info; `used` what there is already, `added` what would come."""

    def __init__(self, name: str, limit: int, used: int, added: int) -> None:
        super().__init__(name, limit, used, added)
        self.name, self.limit, self.used, self.added = name, limit, used, added

    def __str__(self) -> str:
        return (
            f"{self.name} is {self.limit} here: you have {self.used}, and this would add {self.added}; "
            "delete what you no longer need"
        )


class JobTimeExceeded(Exception):
    """A job ran for longer than its owner's jobs may, pauses left out."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(limit_s)
        self.limit_s = limit_s

    def __str__(self) -> str:
        return (
            f"the job has run for the {self.limit_s:g} s that a job may run here (max_job_s); what it found is kept, "
            "and extending it goes on from its last iteration"
        )


@dataclass(frozen=True, kw_only=True)
class Quotas:
    """Per owner; 0 is no limit. Bytes are those of all stored files that the owner's rows name, each once."""

    max_models_per_owner: int = 0
    max_datasets_per_owner: int = 0
    max_targets_per_owner: int = 0
    max_stored_bytes_per_owner: int = 0


UNLIMITED = Quotas()


def quotas_of(settings: Settings) -> Quotas:
    return Quotas(
        max_models_per_owner=settings.max_models_per_owner,
        max_datasets_per_owner=settings.max_datasets_per_owner,
        max_targets_per_owner=settings.max_targets_per_owner,
        max_stored_bytes_per_owner=settings.max_stored_bytes_per_owner,
    )


class QuotaRepository:
    """Never commits."""

    def __init__(self, session: Session, quotas: Quotas) -> None:
        self._session, self._quotas = session, quotas

    def refuse_model(self, caller: Caller, added_bytes: int) -> None:
        """Raises QuotaExceeded when one more model of so many bytes would be too much."""
        self._refuse("max_models_per_owner", caller, 1, lambda: self._count(ModelRow, caller))
        self.refuse_bytes(caller, added_bytes)

    def refuse_dataset(self, caller: Caller, added_bytes: int) -> None:
        """Raises QuotaExceeded when one more data set of so many bytes would be too much."""
        self._refuse("max_datasets_per_owner", caller, 1, lambda: self._count(DatasetRow, caller))
        self.refuse_bytes(caller, added_bytes)

    def refuse_target(self, caller: Caller) -> None:
        """Raises QuotaExceeded when one more target would be too much: its table may have megabytes."""
        self._refuse("max_targets_per_owner", caller, 1, lambda: self._count(TargetRow, caller))

    def refuse_bytes(self, caller: Caller, added_bytes: int) -> None:
        """Raises QuotaExceeded when so many bytes more would be too much."""
        self._refuse("max_stored_bytes_per_owner", caller, added_bytes, lambda: self.stored_bytes(caller))

    def stored_bytes(self, caller: Caller) -> int:
        """Of models, data sets, checkpoints and what a job keeps to go on from."""
        models = (ModelRow.weights_sha256, ModelRow.onnx_sha256)
        datasets = (DatasetRow.sha256, DatasetRow.images_sha256, DatasetRow.labels_sha256, DatasetRow.sample_sha256)
        named = [select(column.label("sha256")).where(ModelRow.owner == caller.id) for column in models]
        named += [select(column.label("sha256")).where(DatasetRow.owner == caller.id) for column in datasets]
        files = select(CheckpointFileRow.sha256).join(CheckpointRow).join(JobRow, JobRow.id == CheckpointRow.job_id)
        epochs = select(EpochStateRow.sha256).join(JobRow, JobRow.id == EpochStateRow.job_id)
        values = select(JobValueRow.value["sha256"].as_string()).join(JobRow, JobRow.id == JobValueRow.job_id)
        named += [of_jobs.where(JobRow.owner == caller.id) for of_jobs in (files, epochs, values)]
        total = select(func.coalesce(func.sum(BlobRow.bytes), 0)).where(BlobRow.sha256.in_(union(*named)))
        return int(self._session.scalar(total) or 0)

    def _count(self, table: type[ModelRow] | type[DatasetRow] | type[TargetRow], caller: Caller) -> int:
        return int(self._session.scalar(select(func.count(table.id)).where(table.owner == caller.id)) or 0)

    def _refuse(self, name: str, caller: Caller, added: int, used: Callable[[], int]) -> None:
        limit = int(getattr(self._quotas, name))
        if limit == 0:
            return
        take_turns(self._session, "quotas of", caller.id)
        if (now := used()) + added > limit:
            raise QuotaExceeded(name, limit, now, added)
