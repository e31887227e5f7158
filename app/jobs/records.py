"""Jobs and what belongs to them, as frozen values: what the repositories take and hand out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.records import CheckpointKind, EventKind, FileFormat, GroupKind, JobPhase, JobRequest, JobState, ProposalState

Document = dict[str, Any]
"""A JSON object as it is stored and sent."""
Limits = Mapping[str, float]
"""Resource -> value, as `adapt.spec.Resources`."""


@dataclass(frozen=True, kw_only=True)
class LatencyFigures:
    """Milliseconds at the target. `low` and `high` bound the measured median; None is unknown, never NaN."""

    predicted: float | None = None
    measured: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one network of a job needs and scores. Accuracies are fractions 0-1: `accuracy` on the hold-out for what was
    picked and on the test part for the rest, `holdout_accuracy` on the hold-out for all. `checkpoint` names its files.
    """

    latency_ms: LatencyFigures = LatencyFigures()
    macs: int | None = None
    params: int | None = None
    memory_bytes: int | None = None
    peak_memory_bytes: int | None = None
    accuracy: float | None = None
    holdout_accuracy: float | None = None
    checkpoint: str | None = None


@dataclass(frozen=True, kw_only=True)
class UniformFigures(Figures):
    """Of the uniformly thinned network: `width` is its multiplier, `steps` how long it was trained in all."""

    width: float
    steps: int


@dataclass(frozen=True, kw_only=True)
class JobProgress:
    """`fraction` 0-1 of the way to the budget; proposals are those of the running iteration."""

    fraction: float = 0.0
    iteration: int = 0
    proposals_done: int = 0
    proposals_total: int = 0
    eta_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """`budget` as asked, `settings` effective; `continues` names the job that it starts from: its
    last iteration or, as a member of its family, `from_iteration`."""

    name: str | None
    model_id: str
    dataset_id: str
    target_id: str
    budget: Document
    settings: Document
    limits: Document | None = None
    continues: str | None = None
    from_iteration: int | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """`effective` are the figures that settings such as "auto" came to, once they are known."""

    id: str
    owner: str
    name: str | None
    state: JobState
    requested: JobRequest | None
    phase: JobPhase | None
    model_id: str
    dataset_id: str
    target_id: str
    budget: Document
    limits: Document | None
    settings: Document
    effective: Document | None
    continues: str | None
    from_iteration: int | None
    progress: JobProgress
    original: Figures | None
    current: Figures | None
    result: Figures | None
    uniform: UniformFigures | None
    error: Document | None
    event_counter: int
    attempts: int
    instruction_set: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class ClaimedJob:
    """A worker's hold on a job. `resumed`: another worker (or an earlier run) began it."""

    id: str
    owner: str
    fence: int
    attempts: int
    resumed: bool


@dataclass(frozen=True, kw_only=True)
class NewIteration:
    """`calibration` is Res_i / predicted(Net_i) of the latency (None where no clock is read)."""

    iteration: int
    constraint: Limits
    before: Limits
    calibration: float | None = None


@dataclass(frozen=True, kw_only=True)
class Control:
    """The unpruned network after the same steps. `evaluation` is all that a resume needs to rebuild it."""

    accuracy: float
    loss: float
    learning_rate: float
    reason: str | None = None
    evaluation: Document | None = None


@dataclass(frozen=True, kw_only=True)
class FinishedIteration:
    """`picked` are group ids; `reasons` say of the others why not; `kept` are indices among the original's filters."""

    iteration: int
    picked: Sequence[str]
    reasons: Mapping[str, str]
    after: Limits
    kept: Mapping[str, Sequence[int]]
    holdout: Document


@dataclass(frozen=True, kw_only=True)
class Iteration:
    job_id: str
    iteration: int
    constraint: Document
    control: Document | None
    calibration: float | None
    before: Document
    after: Document | None
    picked: tuple[str, ...]
    kept: Mapping[str, tuple[int, ...]] | None
    holdout: Document | None
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class NextLarger:
    filters: int
    predicted: Limits


@dataclass(frozen=True, kw_only=True)
class NewProposal:
    """`kept` are indices among the filters before this iteration; what was not evaluated leaves figures None.

    `further` names the groups that get the same count together with `group`, each with what it keeps. `rung` is where
    it left a race (0: it was not let in), `behind` how far the best one was ahead of it there. `answers` says which
    hold-out images were answered rightly (packed bits, base64).
    """

    iteration: int
    group: str
    layers: Sequence[str]
    kind: GroupKind
    filters_before: int
    state: ProposalState
    filters_after: int | None = None
    reason: str | None = None
    predicted: Limits | None = None
    next_larger: NextLarger | None = None
    kept: Sequence[int] | None = None
    accuracy_before_finetune: float | None = None
    accuracy: float | None = None
    loss: float | None = None
    delta_accuracy: float | None = None
    delta_latency_ms: float | None = None
    slope: float | None = None
    steps: int | None = None
    attempts: int | None = None
    seconds: float | None = None
    further: Mapping[str, Sequence[int] | None] = field(default_factory=dict)
    rung: int | None = None
    behind: float | None = None
    behind_standard_error: float | None = None
    answers: str | None = None


@dataclass(frozen=True, kw_only=True)
class Proposal(NewProposal):
    """`holdout_images`: how many images its accuracy was taken on; None where nothing was evaluated yet. `judged_again`
    is its score on more of them, where these did not tell it from the best."""

    id: str
    job_id: str
    number: int
    picked: bool
    holdout_images: int | None = None
    judged_again: Document | None = None


@dataclass(frozen=True, kw_only=True)
class CheckpointFile:
    """A stored file; its blob is written before its row. `accuracy` is its own on the test set, where it computes
    otherwise than the network."""

    format: FileFormat
    bytes: int
    sha256: str
    accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class NewCheckpoint:
    """`checkpoint` is "0" (the original), an iteration's number or "final"; `filters` counts by group."""

    checkpoint: str
    kind: CheckpointKind
    iteration: int
    figures: Figures
    filters: Mapping[str, int]
    kept: Mapping[str, Sequence[int]] | None
    files: Sequence[CheckpointFile]


@dataclass(frozen=True, kw_only=True)
class Checkpoint(NewCheckpoint):
    job_id: str
    number: int
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class CheckpointPoint:
    """What a curve needs of a checkpoint."""

    kind: CheckpointKind
    iteration: int
    figures: Figures


@dataclass(frozen=True, kw_only=True)
class Event:
    job_id: str
    number: int
    event: EventKind
    data: Document
    at: datetime


@dataclass(frozen=True, kw_only=True)
class EpochState:
    """The last finished epoch of the long-term fine-tune; its tensors lie in the blob."""

    epoch: int
    epochs: int
    holdout: Document | None
    sha256: str


@dataclass(frozen=True, kw_only=True)
class JobProgressRecord:
    """Everything that a resume needs.

    `finished` are the finished iterations in order; `checkpoint` the one that the last of them (or, without any, the
    original) was stored as; `open_iteration` one that began and did not end, with its `proposals` recorded so far;
    `final` the result, of a job that goes on to train what that is compared with; `measurements` every latency by key;
    `values` what the worker kept by `set_value`; `messages` what it has told; `raced_out` whoever left a race, in any
    iteration.
    """

    finished: tuple[Iteration, ...]
    checkpoint: Checkpoint | None
    open_iteration: Iteration | None
    proposals: tuple[Proposal, ...]
    final: Checkpoint | None
    measurements: Mapping[str, Document]
    values: Mapping[str, Document]
    epoch_state: EpochState | None
    messages: frozenset[str]
    raced_out: tuple[Proposal, ...] = ()
