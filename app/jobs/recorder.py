"""What a worker writes about the job it holds. Every write begins by checking the fence and locking the job's row."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.agent.orders import OrderBook
from app.blobs import BlobRepository
from app.counters import PROPOSALS, Counters
from app.database import database_now
from app.jobs.documents import checkpoint_document, iteration_document, job_document, proposal_document
from app.jobs.holdout import FINAL, holdout_images
from app.jobs.journal import Journal
from app.jobs.records import (
    Checkpoint,
    ClaimedJob,
    Control,
    Document,
    Figures,
    FinishedIteration,
    JobProgress,
    NewCheckpoint,
    NewIteration,
    NewProposal,
    Proposal,
    UniformFigures,
)
from app.jobs.rows import to_checkpoint, to_iteration, to_proposal
from app.records import JobPhase, JobState, new_id
from app.storage import Blob
from app.tables import (
    CheckpointFileRow,
    CheckpointRow,
    EpochStateRow,
    IterationRow,
    JobRow,
    JobValueRow,
    MeasurementRow,
    ProposalRow,
)

TRAINED = "trained"
"""Key of the value that names the network which a job trained before its search."""


class JobRecorder:
    """Each method raises LeaseLost when the job is another worker's, or over. Never commits.

    Recording the same thing twice (a resumed worker) replaces it, under its own natural key.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._journal = Journal(session)

    def set_phase(self, claimed: ClaimedJob, phase: JobPhase | None) -> None:
        number = self._journal.advance(claimed, phase=phase)
        self._journal.append(claimed.id, number, "phase", job_document(self._journal.read(claimed.id)))

    def add_message(self, claimed: ClaimedJob, text: str, figures: Document | None = None) -> None:
        """Something that a person should know; `figures` are those of the text, for programs."""
        self._journal.append(claimed.id, self._journal.advance(claimed), "message", {"text": text, **(figures or {})})

    def set_progress(self, claimed: ClaimedJob, progress: JobProgress) -> None:
        """Not an event: streams tell it at most once a second, and it is not kept."""
        self._journal.hold(claimed, progress=asdict(progress))

    def set_original(self, claimed: ClaimedJob, figures: Figures) -> None:
        """The original's figures, `accuracy` on the test set; a `measurement` event."""
        document = asdict(figures)
        number = self._journal.advance(claimed, original=document, recorded=JobRow.recorded + 1)
        self._journal.append(claimed.id, number, "measurement", {"key": "original", **document})

    def set_current(self, claimed: ClaimedJob, figures: Figures) -> None:
        self._journal.hold(claimed, current=asdict(figures))

    def set_result(self, claimed: ClaimedJob, figures: Figures) -> None:
        self._journal.hold(claimed, result=asdict(figures))

    def set_uniform(self, claimed: ClaimedJob, figures: UniformFigures) -> None:
        """Of the network that the result is compared with."""
        self._journal.hold(claimed, uniform=asdict(figures))

    def keep_result(self, claimed: ClaimedJob, figures: Figures, holdout: Document) -> None:
        """Of a job that goes on from here, to train what its result is compared with: the epochs that led to it are
        forgotten."""
        self.set_result(claimed, figures)
        self.set_value(claimed, FINAL, holdout)
        self._session.execute(delete(EpochStateRow).where(EpochStateRow.job_id == claimed.id))

    def set_limits(self, claimed: ClaimedJob, limits: dict[str, float]) -> None:
        """The budget in absolute figures, once those of the original are known."""
        self._journal.hold(claimed, limits=limits)

    def set_effective(self, claimed: ClaimedJob, effective: Document) -> None:
        """What those settings came to that left it to the job."""
        self._journal.hold(claimed, effective=effective)

    def add_measurement(self, claimed: ClaimedJob, key: str, latency: Document) -> None:
        """A latency that decisions will rest on. `key` and `latency` as in adapt.events.Measured."""
        number = self._journal.advance(claimed, recorded=JobRow.recorded + 1)
        now = database_now(self._session)
        self._session.merge(MeasurementRow(job_id=claimed.id, key=key, latency=latency, created_at=now))
        OrderBook(self._session).forget_answered(claimed.id)
        # What the operators took of it is for the look-up table, and too much for a line of news.
        told = {name: value for name, value in latency.items() if name != "entries"}
        self._journal.append(claimed.id, number, "measurement", {"key": key, "latency": told})

    def set_value(self, claimed: ClaimedJob, key: str, value: Document) -> None:
        """Keeps something that a resume must find again."""
        self._journal.hold(claimed, recorded=JobRow.recorded + 1)
        now = database_now(self._session)
        self._session.merge(JobValueRow(job_id=claimed.id, key=key, value=value, created_at=now))
        self._session.flush()

    def finish_training(self, claimed: ClaimedJob, trained: Blob) -> None:
        """Keeps the network that a job trained before its search; the epochs that led to it are forgotten."""
        self.set_value(claimed, TRAINED, {"sha256": trained.sha256})
        BlobRepository(self._session).add_blob(trained.sha256, trained.bytes)
        self._session.execute(delete(EpochStateRow).where(EpochStateRow.job_id == claimed.id))

    def save_epoch_state(
        self, claimed: ClaimedJob, *, epoch: int, epochs: int, holdout: Document | None, blob: Blob
    ) -> None:
        """The last finished epoch; the earlier one is forgotten (its blob goes with the next sweep)."""
        self._journal.hold(claimed, recorded=JobRow.recorded + 1)
        BlobRepository(self._session).add_blob(blob.sha256, blob.bytes)
        row = EpochStateRow(
            job_id=claimed.id,
            epoch=epoch,
            epochs=epochs,
            holdout=holdout,
            sha256=blob.sha256,
            created_at=database_now(self._session),
        )
        self._session.merge(row)
        self._session.flush()

    def add_iteration(self, claimed: ClaimedJob, new: NewIteration) -> None:
        number = self._journal.advance(claimed, recorded=JobRow.recorded + 1)
        row = IterationRow(
            job_id=claimed.id,
            iteration=new.iteration,
            constraint=dict(new.constraint),
            calibration=new.calibration,
            before=dict(new.before),
            picked=[],
            started_at=database_now(self._session),
        )
        row = self._session.merge(row)
        self._journal.append(claimed.id, number, "iteration", iteration_document(to_iteration(row)))

    def set_control(self, claimed: ClaimedJob, iteration: int, control: Control) -> None:
        """Told with the iteration's last event."""
        self._journal.hold(claimed, recorded=JobRow.recorded + 1)
        own = (IterationRow.job_id == claimed.id, IterationRow.iteration == iteration)
        self._session.execute(update(IterationRow).where(*own).values(control=asdict(control)))

    def add_proposal(self, claimed: ClaimedJob, new: NewProposal) -> Proposal:
        number = self._journal.advance(claimed, recorded=JobRow.recorded + 1)
        own = (
            ProposalRow.job_id == claimed.id,
            ProposalRow.iteration == new.iteration,
            ProposalRow.group_id == new.group,
        )
        known = self._session.scalar(select(ProposalRow.id).where(*own))
        values: dict[str, Any] = asdict(new)
        values["group_id"] = values.pop("group")
        for name in ("layers", "kept"):
            values[name] = None if values[name] is None else list(values[name])
        values["further"] = {group: kept and list(kept) for group, kept in new.further.items()} or None
        row = ProposalRow(
            id=known or new_id("prp"),
            job_id=claimed.id,
            number=number,
            picked=False,
            created_at=database_now(self._session),
            **values,
        )
        proposal = to_proposal(self._session.merge(row), holdout_images(self._session, claimed.id))
        self._journal.append(claimed.id, number, "proposal", proposal_document(proposal))
        if known is None:
            Counters(self._session).add(PROPOSALS, proposal.state)
        return proposal

    def judge_again(self, claimed: ClaimedJob, iteration: int, group: str, score: Document) -> None:
        """A proposal's score on a larger hold-out; told as the proposal is."""
        number = self._journal.advance(claimed, recorded=JobRow.recorded + 1)
        own = (ProposalRow.job_id == claimed.id, ProposalRow.iteration == iteration, ProposalRow.group_id == group)
        row = self._session.scalars(select(ProposalRow).where(*own)).one()
        row.judged_again = score
        proposal = to_proposal(row, holdout_images(self._session, claimed.id))
        self._journal.append(claimed.id, number, "proposal", proposal_document(proposal))

    def finish_iteration(self, claimed: ClaimedJob, finished: FinishedIteration) -> None:
        """Closes the iteration; marks what was picked and writes why the others were not.

        The epochs of an earlier fine-tune (its result was over the budget, so the search went on) are forgotten: they
        trained a network of other shapes, and a resume would go on from them.
        """
        number = self._journal.advance(claimed, recorded=JobRow.recorded + 1)
        of_iteration = (ProposalRow.job_id == claimed.id, ProposalRow.iteration == finished.iteration)
        rows = self._session.scalars(select(ProposalRow).where(*of_iteration).order_by(ProposalRow.number)).all()
        for proposal in rows:
            proposal.picked = proposal.group_id in finished.picked
            proposal.reason = finished.reasons.get(proposal.group_id, proposal.reason)
        row = self._session.get_one(IterationRow, (claimed.id, finished.iteration), populate_existing=True)
        row.after = dict(finished.after)
        row.kept = {group: list(indices) for group, indices in finished.kept.items()}
        row.holdout = finished.holdout
        row.picked = [proposal.id for proposal in rows if proposal.picked]
        row.finished_at = database_now(self._session)
        self._session.execute(delete(EpochStateRow).where(EpochStateRow.job_id == claimed.id))
        self._journal.append(claimed.id, number, "iteration", iteration_document(to_iteration(row)))

    def add_checkpoint(self, claimed: ClaimedJob, new: NewCheckpoint) -> Checkpoint:
        """The files are stored already; their blobs' rows are written here."""
        number = self._journal.advance(claimed, recorded=JobRow.recorded + 1)
        own = (CheckpointRow.job_id == claimed.id, CheckpointRow.checkpoint == new.checkpoint)
        self._session.execute(delete(CheckpointRow).where(*own))
        blobs = BlobRepository(self._session)
        for file in new.files:
            blobs.add_blob(file.sha256, file.bytes)
        row = CheckpointRow(
            job_id=claimed.id,
            checkpoint=new.checkpoint,
            number=number,
            kind=new.kind,
            iteration=new.iteration,
            latency=asdict(new.figures.latency_ms),
            macs=new.figures.macs,
            params=new.figures.params,
            memory_bytes=new.figures.memory_bytes,
            peak_memory_bytes=new.figures.peak_memory_bytes,
            accuracy=new.figures.accuracy,
            holdout_accuracy=new.figures.holdout_accuracy,
            filters=dict(new.filters),
            kept=None if new.kept is None else {group: list(indices) for group, indices in new.kept.items()},
            created_at=database_now(self._session),
            files=[CheckpointFileRow(**asdict(file)) for file in new.files],
        )
        self._session.add(row)
        self._session.flush()
        checkpoint = to_checkpoint(row)
        self._journal.append(claimed.id, number, "checkpoint", checkpoint_document(checkpoint))
        return checkpoint

    def finish(self, claimed: ClaimedJob, state: JobState, error: Document | None = None) -> None:
        """The last state; `error` is a problem document. Ends the lease, so nothing can be written after it."""
        values = {
            "state": state,
            "error": error,
            "requested": None,
            "phase": None,
            "lease_owner": None,
            "lease_expires_at": None,
            "finished_at": database_now(self._session),
        }
        if state == "succeeded":
            values["progress"] = asdict(self._finished_progress(claimed))
        self._journal.hold(claimed, **values)
        self._journal.tell_state(claimed.id)

    def _finished_progress(self, claimed: ClaimedJob) -> JobProgress:
        before = self._journal.read(claimed.id).progress
        return JobProgress(**{**asdict(before), "fraction": 1.0, "eta_seconds": 0.0})
