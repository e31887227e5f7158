"""A job's record turned back into where its search stands, and values of the search into documents of the record."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, TypeVar

from safetensors.numpy import load as load_tensors

from adapt.checkpoint import read_safetensors
from adapt.events import EpochDone, Evaluation, Latency, OriginalEvaluated, Score
from adapt.executors.contract import Failure
from adapt.graph.network import Network
from adapt.latency.staircase import Staircase
from adapt.latency.table import Entry
from adapt.noise import Difference
from adapt.search import Left, Progress, Races, Reached
from app.jobs.holdout import FINAL, ORIGINAL, UNIFORM
from app.jobs.records import Checkpoint, Iteration, JobProgressRecord, Proposal
from app.storage import Storage
from app.targets.staircases import staircase_from_document

T = TypeVar("T")
RACE = "race"
"""Key of the value that names the last rung which is decided."""


def read_progress(record: JobProgressRecord, storage: Storage) -> Progress:
    """Where the job's own record ends; one that has not finished an iteration has not begun."""
    scores = record.values.get(ORIGINAL)
    original = None if scores is None else original_from_document(scores)
    staircase = read_staircase(record)
    final = _read_final(record, storage)
    uniform = record.values.get(UNIFORM)
    place = None if uniform is None else int(uniform["place"])
    if not record.finished or record.checkpoint is None:
        return Progress(
            original=original,
            staircase=staircase,
            learning_rate=_learning_rate(record.open_iteration),
            races=read_races(record),
            final=final,
            uniform=place,
        )
    last = record.finished[-1]
    return Progress(
        iteration=last.iteration,
        network=read_checkpoint(record.checkpoint, storage),
        kept=last.kept,
        holdout=Score(**_present(last.holdout)),
        learning_rate=_learning_rate(record.open_iteration) or _learning_rate(last),
        original=original,
        staircase=staircase,
        epoch=read_epoch(record, storage),
        races=read_races(record),
        final=final,
        uniform=place,
    )


def continued_progress(record: JobProgressRecord, storage: Storage, own: Progress, steps_before: int) -> Progress:
    """The beginning of a job that goes on from the last iteration of another, whose `record` this is."""
    before = read_progress(record, storage)
    return replace(own, network=before.network, kept=before.kept, holdout=before.holdout, steps_before=steps_before)


def _read_final(record: JobProgressRecord, storage: Storage) -> Reached | None:
    """Of a job that is over there is none: nobody goes on from its result."""
    scores = record.values.get(FINAL)
    if record.final is None or record.final.kept is None or scores is None:
        return None
    return Reached(
        iteration=record.final.iteration,
        network=read_checkpoint(record.final, storage),
        kept={group: tuple(channels) for group, channels in record.final.kept.items()},
        holdout=Score(**scores),
    )


def read_checkpoint(checkpoint: Checkpoint, storage: Storage) -> Network:
    """The network of a checkpoint, from its safetensors file."""
    (sha256,) = [file.sha256 for file in checkpoint.files if file.format == "safetensors"]
    with storage.local_path(sha256) as path:
        return read_safetensors(path)


def read_staircase(record: JobProgressRecord) -> Staircase | None:
    found = record.values.get("staircase")
    return None if found is None else staircase_from_document(found)


def read_outcomes(record: JobProgressRecord) -> dict[str | None, Evaluation | Failure]:
    """What was evaluated of the iteration that was interrupted, by group (None: the control)."""
    outcomes: dict[str | None, Evaluation | Failure] = {}
    if record.open_iteration is not None and record.open_iteration.control is not None:
        control = record.open_iteration.control["evaluation"]
        outcomes[None] = Evaluation(**{**control, "right": _bytes(control.get("right"))})
    for proposal in record.proposals:
        if proposal.state == "evaluated":
            parts = record.values.get(parts_key(proposal.iteration, proposal.group), {"parts": 1})
            outcomes[proposal.group] = replace(_evaluation(proposal), parts=parts["parts"])
        elif proposal.state == "failed":
            outcomes[proposal.group] = Failure(
                group=proposal.group, attempts=_present(proposal.attempts), reason=_present(proposal.reason)
            )
    return outcomes


def parts_key(iteration: int, group: str) -> str:
    """Names the value that says in how many parts a proposal's batches were computed, where that is more than one."""
    return f"parts-{iteration}-{group}"


def read_measurements(record: JobProgressRecord) -> dict[str, Latency]:
    return {key: _latency(document) for key, document in record.measurements.items()}


def _latency(document: Mapping[str, Any]) -> Latency:
    entries = tuple(Entry(**entry) for entry in document.get("entries", ()))  # records of before have none
    return Latency(**{**document, "entries": entries})


def evaluation_document(evaluation: Evaluation) -> dict[str, Any]:
    """Everything but the weights."""
    return {
        "group": evaluation.group,
        "accuracy_before_finetune": evaluation.accuracy_before_finetune,
        "accuracy": evaluation.accuracy,
        "loss": evaluation.loss,
        "steps": evaluation.steps,
        "attempts": evaluation.attempts,
        "seconds": evaluation.seconds,
        "right": answers_text(evaluation),
        "parts": evaluation.parts,
    }


def answers_text(evaluation: Evaluation) -> str | None:
    """The packed bits as text."""
    return None if evaluation.right is None else b64encode(evaluation.right).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)


def read_races(record: JobProgressRecord) -> Races:
    """Who left the job's races, and what is decided of the last one."""
    left = {(each.iteration, each.group): Left(_present(each.rung), _behind(each)) for each in record.raced_out}
    decided = record.values.get(RACE)
    return Races(left, (0, 0) if decided is None else (decided["iteration"], decided["rung"]))


def _behind(proposal: Proposal) -> Difference | None:
    if proposal.behind is None:
        return None
    return Difference(proposal.behind, _present(proposal.behind_standard_error))


def original_document(scores: OriginalEvaluated) -> dict[str, Any]:
    return {"holdout": asdict(scores.holdout), "test": asdict(scores.test)}


def original_from_document(document: Mapping[str, Any]) -> OriginalEvaluated:
    return OriginalEvaluated(holdout=Score(**document["holdout"]), test=Score(**document["test"]))


def _learning_rate(iteration: Iteration | None) -> float | None:
    if iteration is None or iteration.control is None:
        return None
    return float(iteration.control["learning_rate"])


def _evaluation(proposal: Proposal) -> Evaluation:
    return Evaluation(
        group=proposal.group,
        accuracy_before_finetune=_present(proposal.accuracy_before_finetune),
        accuracy=_present(proposal.accuracy),
        loss=_present(proposal.loss),
        steps=_present(proposal.steps),
        attempts=_present(proposal.attempts),
        seconds=_present(proposal.seconds),
        right=_bytes(proposal.answers),
        again=None if proposal.judged_again is None else Score(**proposal.judged_again),
    )


def read_epoch(record: JobProgressRecord, storage: Storage) -> EpochDone | None:
    """The last epoch that was recorded, of whichever training was under way."""
    state = record.epoch_state
    if state is None:
        return None
    return EpochDone(
        epoch=state.epoch,
        epochs=state.epochs,
        holdout=Score(**_present(state.holdout)),
        state=load_tensors(storage.read(state.sha256)),
    )


def _present(value: T | None) -> T:
    if value is None:
        raise LookupError("the job's record lacks a figure that was written with its row")
    return value
