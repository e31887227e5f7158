"""The events of a search written into the database, each in one transaction that begins by checking the fence.

Recording is idempotent: a resumed search tells again what it reads back, and what is in the record already is passed
over. Files are stored before the transaction that names them.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import singledispatchmethod
from typing import Any

from safetensors.numpy import save as save_tensors

from adapt.events import (
    BudgetResolved,
    ControlEvaluated,
    Cut,
    CutsJoined,
    EpochDone,
    Evaluation,
    Event,
    Finished,
    IterationDone,
    IterationStarted,
    Latency,
    Measured,
    Message,
    OriginalEvaluated,
    PhaseChanged,
    ProposalEvaluated,
    ProposalGivenUp,
    ProposalJudged,
    ProposalRacedOut,
    ProposalSkipped,
    ResultFound,
    RungDone,
    StaircaseFound,
    Uniform,
    UniformChosen,
)
from adapt.graph.network import Network
from adapt.graph.pruning import Kept, all_kept
from adapt.spec import Resources
from app.database import Sessions, unit_of_work
from app.jobs.holdout import ORIGINAL, UNIFORM
from app.jobs.recorder import JobRecorder
from app.jobs.records import (
    ClaimedJob,
    Control,
    Figures,
    FinishedIteration,
    JobProgressRecord,
    NewCheckpoint,
    NewIteration,
    NewProposal,
    NextLarger,
    UniformFigures,
)
from app.records import CheckpointKind
from app.storage import Storage
from app.targets.lookup import LookupRepository
from app.targets.staircases import staircase_document
from workers.assembly import Material
from workers.checkpoints import MeasuredFiles, none_measured, store_files
from workers.figures import figures_of
from workers.progress import (
    RACE,
    answers_text,
    evaluation_document,
    original_document,
    original_from_document,
    parts_key,
)

_OfProposal = ProposalSkipped | ProposalGivenUp | ProposalEvaluated | ProposalRacedOut


@dataclass
class _Record:
    """What the record holds already, by natural key: iterations, (iteration, group), measurements."""

    iterations: set[int]
    controls: set[int]
    proposals: set[tuple[int, str]]
    measurements: set[str]
    original: bool  # its checkpoint
    final: bool  # the result's, where the job goes on after it
    messages: frozenset[str]  # of earlier runs: a search that goes on tells them again from its beginning


class Recording:
    """Writes one job's events. Raises LeaseLost as soon as the lease is another worker's."""

    def __init__(
        self,
        claimed: ClaimedJob,
        sessions: Sessions,
        storage: Storage,
        material: Material,
        measured_files: MeasuredFiles = none_measured,
    ) -> None:
        """`measured_files` writes those files of a network that latency is measured with."""
        self._measured_files = measured_files
        self._claimed, self._sessions, self._storage = claimed, sessions, storage
        self._target_id, self._model_id = material.target.id, material.model.id
        self._original = material.network
        self._groups = {group.id: group for group in material.groups}
        self._phase: str | None = material.job.phase  # that of a worker that is gone goes on without being told again
        scores = material.record.values.get(ORIGINAL)
        self._scores = None if scores is None else original_from_document(scores)
        self._known = _known(material.record)

    @singledispatchmethod
    def write(self, event: Event) -> None:
        """Records `event`, unless it is there already."""
        raise TypeError(f"no rule to record a {type(event).__name__}")

    @write.register
    def _(self, event: PhaseChanged) -> None:
        if event.phase != self._phase:
            self._phase = event.phase
            self._in_transaction(lambda recorder: recorder.set_phase(self._claimed, event.phase))

    @write.register
    def _(self, event: OriginalEvaluated) -> None:
        self._scores = event
        document = original_document(event)
        self._in_transaction(lambda recorder: recorder.set_value(self._claimed, ORIGINAL, document))

    @write.register
    def _(self, event: Measured) -> None:
        if event.latency is None:
            raise TypeError(f"the service has no place for a measured {event.resource}")
        if event.key not in self._known.measurements:
            self._known.measurements.add(event.key)
            self._write_measurement(event.key, event.latency)
        if event.key == "0" and self._scores is not None:
            self._write_original(self._scores, event.latency)

    @write.register
    def _(self, event: StaircaseFound) -> None:
        document = staircase_document(event.staircase)
        effective = {"round_channels_to": event.staircase.step}

        def record(recorder: JobRecorder) -> None:
            recorder.set_value(self._claimed, "staircase", document)
            recorder.set_effective(self._claimed, effective)
            recorder.add_message(self._claimed, f"round_channels_to is auto; {event.staircase.reason}", document)

        self._in_transaction(record)

    @write.register
    def _(self, event: BudgetResolved) -> None:
        limits = by_name(event.limits)
        self._in_transaction(lambda recorder: recorder.set_limits(self._claimed, limits))

    @write.register
    def _(self, event: IterationStarted) -> None:
        if event.iteration not in self._known.iterations:
            self._known.iterations.add(event.iteration)
            iteration = NewIteration(
                iteration=event.iteration,
                constraint=by_name(event.constraint),
                before=by_name(event.before),
                calibration=event.calibration,
            )
            self._in_transaction(lambda recorder: recorder.add_iteration(self._claimed, iteration))

    @write.register
    def _(self, event: ControlEvaluated) -> None:
        if event.iteration not in self._known.controls:
            self._known.controls.add(event.iteration)
            control = Control(
                accuracy=event.evaluation.accuracy,
                loss=event.evaluation.loss,
                learning_rate=event.learning_rate,
                reason=event.reason,
                evaluation=evaluation_document(event.evaluation),
            )
            self._in_transaction(lambda recorder: recorder.set_control(self._claimed, event.iteration, control))

    @write.register
    def _(self, event: ProposalSkipped) -> None:
        self._add_proposal(event, state="skipped", reason=event.reason)

    @write.register
    def _(self, event: ProposalGivenUp) -> None:
        self._add_proposal(
            event, state="failed", reason=event.reason, filters_after=event.filters_after, attempts=event.attempts
        )

    @write.register
    def _(self, event: ProposalEvaluated) -> None:
        if (parts := event.evaluation.parts) > 1:  # before the proposal: a resume trains a picked one again just so
            key = parts_key(event.iteration, event.group)
            self._in_transaction(lambda recorder: recorder.set_value(self._claimed, key, {"parts": parts}))
        self._add_proposal(
            event,
            state="evaluated",
            delta_accuracy=event.delta_accuracy,
            slope=event.slope,
            **_cut(event),
            **_outcome(event.evaluation),
        )

    @write.register
    def _(self, event: RungDone) -> None:
        """The whole decision at once: a resumed search takes it as it is."""
        new = [proposal for each in event.raced_out if (proposal := self._raced_out(each)) is not None]
        decided = {"iteration": event.iteration, "rung": event.rung}

        def record(recorder: JobRecorder) -> None:
            for proposal in new:
                recorder.add_proposal(self._claimed, proposal)
            recorder.set_value(self._claimed, RACE, decided)

        self._in_transaction(record)

    @write.register
    def _(self, event: CutsJoined) -> None:
        figures = {
            "iteration": event.iteration,
            "groups": list(event.groups),
            "adds_up": event.adds_up,
            "expected": event.expected,
            "accuracy": None if event.evaluation is None else event.evaluation.accuracy,
            "steps": 0 if event.evaluation is None else event.evaluation.steps,
        }
        if event.text not in self._known.messages:
            self._in_transaction(lambda recorder: recorder.add_message(self._claimed, event.text, figures))

    @write.register
    def _(self, event: ProposalJudged) -> None:
        score = asdict(event.score)
        self._in_transaction(lambda recorder: recorder.judge_again(self._claimed, event.iteration, event.group, score))

    @write.register
    def _(self, event: IterationDone) -> None:
        figures = figures_of(event.network, event.latency, str(event.iteration), holdout=event.holdout)
        finished = FinishedIteration(
            iteration=event.iteration,
            picked=list(event.picked),
            reasons=event.reasons,
            after=by_name(event.after),
            kept={group: list(channels) for group, channels in event.kept.items()},
            holdout=asdict(event.holdout),
        )
        checkpoint = self._checkpoint("pick", event.iteration, figures, event.network, event.kept)

        def record(recorder: JobRecorder) -> None:
            recorder.finish_iteration(self._claimed, finished)
            recorder.add_checkpoint(self._claimed, checkpoint)
            recorder.set_current(self._claimed, figures)

        self._in_transaction(record)

    @write.register
    def _(self, event: EpochDone) -> None:
        """The state and the message about it at once: a resume goes on behind both, and tells no epoch twice."""
        blob = self._storage.put(save_tensors(dict(event.state)))
        holdout = asdict(event.holdout)
        text, figures = _told_of(event)

        def record(recorder: JobRecorder) -> None:
            recorder.save_epoch_state(self._claimed, epoch=event.epoch, epochs=event.epochs, holdout=holdout, blob=blob)
            recorder.add_message(self._claimed, text, figures)

        self._in_transaction(record)

    @write.register
    def _(self, event: Message) -> None:
        if event.text not in self._known.messages:
            self._in_transaction(lambda recorder: recorder.add_message(self._claimed, event.text))

    @write.register
    def _(self, event: ResultFound) -> None:
        """The result of a job that goes on: what it is compared with is still to be trained."""
        if self._known.final:
            return
        self._known.final = True
        figures, checkpoint = self._final(event)
        holdout = asdict(event.holdout)

        def record(recorder: JobRecorder) -> None:
            recorder.add_checkpoint(self._claimed, checkpoint)
            recorder.keep_result(self._claimed, figures, holdout)

        self._in_transaction(record)

    @write.register
    def _(self, event: UniformChosen) -> None:
        place = {"place": event.place}
        self._in_transaction(lambda recorder: recorder.set_value(self._claimed, UNIFORM, place))

    @write.register
    def _(self, event: Finished) -> None:
        final = None if self._known.final else self._final(event)
        uniform = None if event.uniform is None else self._uniform(event.uniform, event.iteration)

        def record(recorder: JobRecorder) -> None:
            if final is not None:
                recorder.add_checkpoint(self._claimed, final[1])
                recorder.set_result(self._claimed, final[0])
            if uniform is not None:
                recorder.add_checkpoint(self._claimed, uniform[1])
                recorder.set_uniform(self._claimed, uniform[0])
            recorder.finish(self._claimed, "succeeded", None)

        self._in_transaction(record)

    def _final(self, event: ResultFound) -> tuple[Figures, NewCheckpoint]:
        figures = figures_of(event.network, event.latency, "final", holdout=event.holdout, test=event.test)
        return figures, self._checkpoint("final", event.iteration, figures, event.network, event.kept)

    def _uniform(self, found: Uniform, iteration: int) -> tuple[UniformFigures, NewCheckpoint]:
        figures = figures_of(found.network, found.latency, "uniform", holdout=found.holdout, test=found.test)
        checkpoint = self._checkpoint("uniform", iteration, figures, found.network, found.kept)
        return UniformFigures(**vars(figures), width=found.width, steps=found.steps), checkpoint

    def _write_measurement(self, key: str, latency: Latency) -> None:
        """The job's record and the target's look-up table learn of it at once."""
        with unit_of_work(self._sessions) as session:
            JobRecorder(session).add_measurement(self._claimed, key, asdict(latency))
            if latency.conditions is not None and latency.entries:
                lookup = LookupRepository(session)
                lookup.add_observed(self._target_id, self._model_id, latency.conditions, latency.entries)

    def _write_original(self, scores: OriginalEvaluated, latency: Latency) -> None:
        """Checkpoint "0": the original with its test accuracy, once both figures are known."""
        if self._known.original:
            return
        self._known.original = True
        figures = figures_of(self._original, latency, "0", holdout=scores.holdout, test=scores.test)
        kept = all_kept(list(self._groups.values()))
        checkpoint = self._checkpoint("original", 0, figures, self._original, kept)

        def record(recorder: JobRecorder) -> None:
            recorder.set_original(self._claimed, figures)
            recorder.set_current(self._claimed, replace(figures, accuracy=scores.holdout.accuracy))
            recorder.add_checkpoint(self._claimed, checkpoint)

        self._in_transaction(record)

    def _raced_out(self, event: ProposalRacedOut) -> NewProposal | None:
        behind = event.behind
        return self._new_proposal(
            event,
            state="raced-out",
            reason=event.reason,
            rung=event.rung,
            behind=None if behind is None else behind.mean,
            behind_standard_error=None if behind is None else behind.standard_error,
            **_cut(event),
            **({"steps": 0} if event.evaluation is None else _outcome(event.evaluation)),
        )

    def _add_proposal(self, event: _OfProposal, **values: Any) -> None:
        if (proposal := self._new_proposal(event, **values)) is not None:
            self._in_transaction(lambda recorder: recorder.add_proposal(self._claimed, proposal))

    def _new_proposal(self, event: _OfProposal, **values: Any) -> NewProposal | None:
        """None where it is recorded already."""
        key = (event.iteration, event.group)
        if key in self._known.proposals:
            return None
        self._known.proposals.add(key)
        first, *others = (self._groups[group] for group in (event.group, *event.further))
        return NewProposal(
            iteration=event.iteration,
            group=first.id,
            further=further_of(event),
            layers=[layer for group in (first, *others) for layer in group.layers],
            kind=first.kind,
            filters_before=event.filters_before,
            **values,
        )

    def _checkpoint(
        self, kind: CheckpointKind, iteration: int, figures: Figures, network: Network, kept: Kept
    ) -> NewCheckpoint:
        """Stores the files. Called before the transaction: the row is written after the blobs."""
        return NewCheckpoint(
            checkpoint=str(figures.checkpoint),
            kind=kind,
            iteration=iteration,
            figures=figures,
            filters={group: len(channels) for group, channels in kept.items()},
            kept={group: list(channels) for group, channels in kept.items()},
            files=store_files(network, self._measured_files(network), self._storage),
        )

    def _in_transaction(self, write: Callable[[JobRecorder], object]) -> None:
        with unit_of_work(self._sessions) as session:
            write(JobRecorder(session))


def further_of(event: _OfProposal) -> dict[str, Sequence[int] | None]:
    """The groups that shrink with the proposal's first one, and what each keeps where that was decided."""
    if isinstance(event, Cut):
        return dict(event.further)
    return dict.fromkeys(event.further)


def _cut(event: Cut) -> dict[str, Any]:
    """What a proposal takes away, as a row has it."""
    larger = None
    if event.next_larger_filters is not None and event.next_larger_predicted is not None:
        larger = NextLarger(filters=event.next_larger_filters, predicted=by_name(event.next_larger_predicted))
    return {
        "filters_after": event.filters_after,
        "predicted": by_name(event.predicted),
        "next_larger": larger,
        "kept": list(event.kept),
        "delta_latency_ms": event.delta_latency_ms,
    }


def _outcome(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "accuracy_before_finetune": evaluation.accuracy_before_finetune,
        "accuracy": evaluation.accuracy,
        "loss": evaluation.loss,
        "steps": evaluation.steps,
        "attempts": evaluation.attempts,
        "seconds": evaluation.seconds,
        "answers": answers_text(evaluation),
    }


def by_name(resources: Resources) -> dict[str, float]:
    """As a document: mypy takes a Literal's values for no strings."""
    return {str(name): value for name, value in resources.items()}


def _told_of(event: EpochDone) -> tuple[str, dict[str, Any]]:
    """An epoch in words, and its figures (accuracy and loss on the hold-out)."""
    score = event.holdout
    what = "uniform network, " if event.of == "uniform" else ""
    text = f"{what}epoch {event.epoch} of {event.epochs}: hold-out accuracy {score.accuracy:.4f}, loss {score.loss:.4g}"
    if event.parts > 1:
        text += f"; memory ran out, so each batch was taken in {event.parts} parts, their gradients added up"
    return text, {
        "of": event.of,
        "epoch": event.epoch,
        "epochs": event.epochs,
        "accuracy": score.accuracy,
        "loss": score.loss,
    }


def _known(record: JobProgressRecord) -> _Record:
    iterations = {iteration.iteration for iteration in record.finished}
    controls = set(iterations)
    proposals = set()
    if (unfinished := record.open_iteration) is not None:
        iterations.add(unfinished.iteration)
        if unfinished.control is not None:
            controls.add(unfinished.iteration)
        proposals = {(unfinished.iteration, proposal.group) for proposal in record.proposals}
    return _Record(
        iterations=iterations,
        controls=controls,
        proposals=proposals,
        measurements=set(record.measurements),
        original=record.checkpoint is not None,
        final=record.final is not None,
        messages=record.messages,
    )
