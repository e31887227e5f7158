"""The SQL about what happened within a job: events, iterations, proposals, checkpoints."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, ColumnElement, cast, select
from sqlalchemy.orm import Session, selectinload

from app.jobs.documents import TOLD_OTHERWISE, proposal_fields
from app.jobs.errors import PartNotFound
from app.jobs.holdout import holdout_images
from app.jobs.records import Checkpoint, CheckpointFile, CheckpointPoint, Event, Iteration, Job, Proposal
from app.jobs.repository import JobRepository
from app.jobs.rows import POINT, to_checkpoint, to_iteration, to_point, to_proposal
from app.json_answers import StoredJson
from app.paging import Page, cut_page
from app.records import Caller, FileFormat
from app.tables import CheckpointRow, EventRow, IterationRow, ProposalRow

_PROPOSALS = ProposalRow.__table__.c
_COLUMNS = {"group": "group_id", "accuracy_standard_error": "accuracy", "holdout_images": "number"}
"""Of a proposal: field -> the column that it is told from, where that has another name."""
MOST_CHECKPOINTS = 100_000
"""More than any search has iterations."""


class JobHistory:
    """Everything ascending, `after` a number. Each method raises JobNotFound for what is not the caller's."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._jobs = JobRepository(session)

    def list_events(
        self, caller: Caller, job_id: str, *, after: int, limit: int, unread: bool = False
    ) -> tuple[Job, Page[Event]]:
        """With the job as it is at that moment: whether more events can follow is seen in the same transaction.
        `unread`: what they hold is for orjson alone, which writes it as it is stored."""
        job = self._jobs.get_job(caller, job_id)
        data = cast(EventRow.data, StoredJson) if unread else EventRow.data
        columns = select(EventRow.number, EventRow.event, EventRow.at, data)
        later = columns.where(EventRow.job_id == job_id, EventRow.number > after).order_by(EventRow.number)
        events = [
            Event(job_id=job_id, number=number, event=kind, at=at, data=held)
            for number, kind, at, held in self._session.execute(later.limit(limit + 1))
        ]
        return job, cut_page(events, limit, lambda event: (event.number,))

    def list_iterations(self, caller: Caller, job_id: str, *, after: int, limit: int) -> Page[Iteration]:
        self._jobs.get_job(caller, job_id)
        later = select(IterationRow).where(IterationRow.job_id == job_id, IterationRow.iteration > after)
        rows = self._session.scalars(later.order_by(IterationRow.iteration).limit(limit + 1))
        return cut_page([to_iteration(row) for row in rows], limit, lambda iteration: (iteration.iteration,))

    def list_proposals(
        self, caller: Caller, job_id: str, *, after: int, limit: int, iteration: int | None = None
    ) -> Page[Proposal]:
        """Of one iteration or of all. Raises PartNotFound for an iteration that has not begun."""
        self._jobs.get_job(caller, job_id)
        wanted = self._wanted(job_id, after, iteration)
        rows = self._session.scalars(select(ProposalRow).where(*wanted).order_by(ProposalRow.number).limit(limit + 1))
        images = holdout_images(self._session, job_id)
        return cut_page([to_proposal(row, images) for row in rows], limit, lambda proposal: (proposal.number,))

    def list_proposal_fields(
        self, caller: Caller, job_id: str, names: Sequence[str], *, after: int, limit: int
    ) -> Page[dict[str, Any]]:
        """As `list_proposals`, of each only these fields of its document, and no other column is read."""
        columns = {name: _column(name) for name in names}
        return self._list_columns(caller, job_id, columns, after=after, limit=limit, iteration=None)

    def list_fields_unread(
        self, caller: Caller, job_id: str, names: Sequence[str], *, after: int, limit: int, iteration: int | None = None
    ) -> Page[dict[str, Any]]:
        """As `list_proposal_fields`, for a LongAnswer alone: what is stored as JSON is not read."""
        columns = {name: _unread(name) for name in names}
        return self._list_columns(caller, job_id, columns, after=after, limit=limit, iteration=iteration)

    def _list_columns(
        self,
        caller: Caller,
        job_id: str,
        columns: Mapping[str, ColumnElement[Any]],
        *,
        after: int,
        limit: int,
        iteration: int | None,
    ) -> Page[dict[str, Any]]:
        self._jobs.get_job(caller, job_id)
        chosen = select(_PROPOSALS.number, *columns.values()).where(*self._wanted(job_id, after, iteration))
        rows = self._session.execute(chosen.order_by(_PROPOSALS.number).limit(limit + 1)).all()
        page = cut_page(rows, limit, lambda row: (row[0],))
        documents = proposal_fields([*columns], (row[1:] for row in page.items), holdout_images(self._session, job_id))
        return Page(items=tuple(documents), next_position=page.next_position)

    def _wanted(self, job_id: str, after: int, iteration: int | None) -> list[ColumnElement[bool]]:
        """Raises PartNotFound."""
        wanted = [ProposalRow.job_id == job_id, ProposalRow.number > after]
        if iteration is not None:
            if self._session.get(IterationRow, (job_id, iteration)) is None:
                raise PartNotFound(job_id, f"iteration {iteration}")
            wanted.append(ProposalRow.iteration == iteration)
        return wanted

    def list_checkpoints(self, caller: Caller, job_id: str, *, after: int, limit: int) -> Page[Checkpoint]:
        self._jobs.get_job(caller, job_id)
        later = select(CheckpointRow).where(CheckpointRow.job_id == job_id, CheckpointRow.number > after)
        with_files = later.options(selectinload(CheckpointRow.files)).order_by(CheckpointRow.number).limit(limit + 1)
        rows = self._session.scalars(with_files)
        return cut_page([to_checkpoint(row) for row in rows], limit, lambda checkpoint: (checkpoint.number,))

    def list_picks(self, caller: Caller, job_id: str) -> list[Checkpoint]:
        """Of all iterations that are finished, ascending."""
        return [found for found in self.all_checkpoints(caller, job_id) if found.kind == "pick"]

    def all_checkpoints(self, caller: Caller, job_id: str) -> list[Checkpoint]:
        return list(self.list_checkpoints(caller, job_id, after=0, limit=MOST_CHECKPOINTS).items)

    def list_points(self, caller: Caller, job_id: str) -> list[CheckpointPoint]:
        """Of all checkpoints what a curve needs: no other column is read."""
        self._jobs.get_job(caller, job_id)
        of_job = select(*POINT).where(CheckpointRow.job_id == job_id)
        return [to_point(row) for row in self._session.execute(of_job.order_by(CheckpointRow.number))]

    def find_checkpoint(self, caller: Caller, job_id: str, checkpoint: str) -> Checkpoint | None:
        """`checkpoint` is "0", an iteration's number, "final" or "uniform"."""
        self._jobs.get_job(caller, job_id)
        row = self._session.scalar(
            select(CheckpointRow)
            .where(CheckpointRow.job_id == job_id, CheckpointRow.checkpoint == checkpoint)
            .options(selectinload(CheckpointRow.files))
        )
        return None if row is None else to_checkpoint(row)

    def find_newest_checkpoint(self, caller: Caller, job_id: str) -> Checkpoint | None:
        """Of the search: not what its result is compared with."""
        self._jobs.get_job(caller, job_id)
        of_search = select(CheckpointRow).where(CheckpointRow.job_id == job_id, CheckpointRow.kind != "uniform")
        newest = of_search.order_by(CheckpointRow.number.desc()).limit(1).options(selectinload(CheckpointRow.files))
        row = self._session.scalar(newest)
        return None if row is None else to_checkpoint(row)

    def get_checkpoint_file(
        self, caller: Caller, job_id: str, checkpoint: str, file_format: FileFormat
    ) -> CheckpointFile:
        """Raises PartNotFound."""
        found = self.find_checkpoint(caller, job_id, checkpoint)
        if found is None:
            newest = self.find_newest_checkpoint(caller, job_id)
            there = "it has none yet" if newest is None else f"the newest that there is: {newest.checkpoint}"
            raise PartNotFound(job_id, f"checkpoint {checkpoint}; {there}")
        for file in found.files:
            if file.format == file_format:
                return file
        why = "; those have jobs on a target of precision int8" if file_format == "onnx-int8" else ""
        raise PartNotFound(job_id, f"{file_format} file of checkpoint {checkpoint}{why}")


def _column(name: str) -> ColumnElement[Any]:
    """What a field of a proposal is told from."""
    return _PROPOSALS[_COLUMNS.get(name, name)]


def _unread(name: str) -> ColumnElement[Any]:
    """As `_column`, as its text where it is JSON and told as it is stored."""
    column = _column(name)
    return cast(column, StoredJson) if isinstance(column.type, JSON) and name not in TOLD_OTHERWISE else column
