"""What the search tells while it runs: frozen values, in the order in which they happen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from adapt.graph.network import Network, Weights
from adapt.graph.pruning import Kept
from adapt.latency.staircase import Staircase
from adapt.latency.table import Entry
from adapt.noise import Difference, standard_error
from adapt.spec import Resource, Resources


class Measurement(Protocol):
    """What a measurement of any resource says: the figure, and the interval that it lies in, in its unit."""

    @property
    def value(self) -> float: ...

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A measurement with nothing more to say."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Latency:
    """An end-to-end measurement, interleaved with the original in the same minutes so that drift cancels.

    `ms`, `low`, `high` are the median and its interval, drift-corrected: (network / original now) x original then.
    `original_ms` is what the original took in this session, uncorrected. `predicted_ms` is the table's figure.
    On a `table` target nothing is measured: `measured` is false and the three figures are the prediction.
    `disturbed` is the share of the session in which the machine was busy, which did not count; `quiet` is false where
    that was nearly all of it, and it had to count. `entries` are what the
    network's operators took of it, for the look-up table of `conditions` (Conditions.fingerprint()).
    """

    ms: float
    low: float
    high: float
    original_ms: float
    predicted_ms: float | None  # None where no look-up table was needed
    measured: bool = True
    disturbed: float = 0.0
    quiet: bool = True
    entries: tuple[Entry, ...] = ()
    conditions: str | None = None

    @property
    def value(self) -> float:
        return self.ms


WORST_LOSS = 1e4
"""Cross-entropy given to an image whose scores are not finite: an unknown figure must stay a number that compares."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Accuracy as a fraction 0-1 and mean cross-entropy, over `images` images; the latter at most WORST_LOSS."""

    accuracy: float
    loss: float
    images: int

    @property
    def standard_error(self) -> float:
        """Of the accuracy, from the binomial law."""
        return standard_error(self.accuracy, self.images)

    @property
    def lost(self) -> bool:
        """Of a network whose weights stopped being numbers."""
        return self.loss >= WORST_LOSS


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A candidate (or, with `group` None, the iteration's unpruned control) after its short-term fine-tune.

    `right` says of each hold-out image, in order and packed eight to a byte, whether it was answered rightly.
    `memory` are the tensors, beside the weights, that the next step of a fine-tune needs which stopped early.
    """

    group: str | None
    accuracy_before_finetune: float
    accuracy: float
    loss: float
    steps: int
    attempts: int
    seconds: float
    parts: int = 1  # in which each batch was computed, more than one where memory ran out
    weights: Weights | None = None  # None when read back from a record: trained again if it is picked
    right: bytes | None = None  # None in records of before
    memory: Weights | None = None
    again: Score | None = None  # on the hold-out and further images, in a record that has it (ProposalJudged)


@dataclass(frozen=True, kw_only=True)
class OriginalEvaluated:
    holdout: Score
    test: Score


Phase = Literal["checking", "training", "measuring", "adapting", "finetuning", "verifying"]


@dataclass(frozen=True, kw_only=True)
class PhaseChanged:
    phase: Phase


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A measurement, recorded before the search goes on: decisions rest on it where the budget is in its resource.

    `key`: an iteration's number ("0": the original), "start" (of a job that continues another), "smallest" and
    "smallest-blocks" (the least networks that can be reached), "final-3" (the result after iteration 3), "uniform-12"
    or "uniform" (what it is compared with); "3-again" where it was measured once more and longer.
    """

    key: str
    resource: Resource
    figure: Measurement

    @property
    def latency(self) -> Latency | None:
        """None where another resource was measured."""
        return self.figure if isinstance(self.figure, Latency) else None


@dataclass(frozen=True, kw_only=True)
class StaircaseFound:
    """What `round_channels_to: auto` came to, recorded before any count is chosen by it."""

    staircase: Staircase


@dataclass(frozen=True, kw_only=True)
class BudgetResolved:
    """What was asked in absolute figures: `limits` per budgeted resource, beside all the original's `resources`."""

    original: Resources
    limits: Resources


@dataclass(frozen=True, kw_only=True)
class IterationStarted:
    """`constraint` is Con_j, an upper limit per resource; `calibrations` are Res_i / predicted(Net_i) of those that are
    measured."""

    iteration: int
    before: Resources
    constraint: Resources
    calibrations: Resources
    candidates: int  # how many proposals will be evaluated

    @property
    def calibration(self) -> float | None:
        """That of the latency; None where no clock is read."""
        return self.calibrations.get("latency_ms")


@dataclass(frozen=True, kw_only=True)
class ProposalSkipped:
    """`further` are the groups that would have shrunk with the first one."""

    iteration: int
    group: str
    further: tuple[str, ...] = ()
    filters_before: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class ControlEvaluated:
    iteration: int
    evaluation: Evaluation
    learning_rate: float
    reason: str | None = None  # why the rate was halved, when it was


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What a proposal takes away. `delta_latency_ms` is against the current network (predicted, negative: faster);
    `kept` are indices among the filters of the network *before* this iteration, `further` the groups that shrink to
    the same count together with the first one, and what each of them keeps."""

    iteration: int
    group: str
    further: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    filters_before: int
    filters_after: int
    kept: tuple[int, ...]
    predicted: Resources
    next_larger_filters: int | None
    next_larger_predicted: Resources | None
    delta_latency_ms: float | None

    @property
    def positions(self) -> Mapping[str, tuple[int, ...]]:
        """What each of its groups keeps."""
        return {self.group: self.kept, **self.further}


@dataclass(frozen=True, kw_only=True)
class ProposalEvaluated(Cut):
    """A proposal with its figures. `delta_accuracy` is against the control; `relative_reduction` is of the resource
    that had to fall, furthest from its budget, and `reward` MnasNet's by it."""

    evaluation: Evaluation
    delta_accuracy: float
    relative_reduction: float
    slope: float
    reward: float

    @property
    def reward_share(self) -> float:
        """(LAT / T)^w: what the reward multiplies the accuracy by."""
        accuracy = self.evaluation.accuracy
        return self.reward / accuracy if accuracy else 0.0


@dataclass(frozen=True, kw_only=True)
class ProposalRacedOut(Cut):
    """A proposal that left the race at `rung`, and its evaluation there; at rung 0 it was not let in, and has none.
    `behind` is by how much the best one was ahead of it in what the pick compares."""

    rung: int
    evaluation: Evaluation | None
    behind: Difference | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class RungDone:
    """One decision: all that leave the race at this rung, before anybody trains on. Rung 0 is who is let in."""

    iteration: int
    rung: int
    raced_out: tuple[ProposalRacedOut, ...]


@dataclass(frozen=True, kw_only=True)
class CutsJoined:
    """Whether the effects of several proposals add up: `accuracy` is that of the network which has all of their cuts
    after the same fine-tune, `expected` the control's with what each of them changed by itself; `behind` is the
    difference image by image. Where they do not add up the first one is picked alone; `evaluation` is None where the
    joint network could not be evaluated."""

    iteration: int
    groups: tuple[str, ...]
    evaluation: Evaluation | None
    expected: float
    behind: Difference | None
    adds_up: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class ProposalJudged:
    """A proposal that was too near to the best for the hold-out; `score` is on it and on further images together."""

    iteration: int
    group: str
    score: Score


@dataclass(frozen=True, kw_only=True)
class ProposalGivenUp:
    """A candidate whose process died, hung or diverged every time; the iteration goes on without it."""

    iteration: int
    group: str
    further: tuple[str, ...] = ()
    filters_before: int
    filters_after: int
    reason: str
    attempts: int


@dataclass(frozen=True, kw_only=True)
class IterationDone:
    """`reasons` says of each evaluated proposal why it was not chosen (group id -> words)."""

    iteration: int
    picked: tuple[str, ...]
    reasons: dict[str, str]
    network: Network
    kept: Kept
    after: Resources
    holdout: Score
    latency: Latency | None


@dataclass(frozen=True, kw_only=True)
class EpochDone:
    """One epoch of the long-term fine-tune; `state` (tensors by name) is all that the next epoch needs. `of` says what
    is trained: the job's own network, or the one that its result is compared with. Its batches were taken in `parts`:
    more than one where memory ran out."""

    epoch: int
    epochs: int
    holdout: Score
    state: Weights
    of: Literal["job", "uniform"] = "job"
    parts: int = 1


@dataclass(frozen=True, kw_only=True)
class Message:
    """Something that a person should know: a fallback step, a halved rate, a kept pick."""

    text: str


@dataclass(frozen=True, kw_only=True)
class ResultFound:
    """Told where the job goes on, to train what its result is compared with. `iteration` is the last one's number, 0
    when nothing had to be cut. `figures` are all measurements, latency's included."""

    iteration: int
    network: Network
    kept: Kept
    resources: Resources
    figures: Mapping[Resource, Measurement]
    latency: Latency | None
    holdout: Score
    test: Score


@dataclass(frozen=True, kw_only=True)
class UniformChosen:
    """Which width is compared with (its place among those of `adapt.uniform.widths`), recorded before it is trained."""

    place: int


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """The uniformly thinned network: its multiplier, how many steps it was trained for, and what came of it."""

    width: float
    steps: int
    network: Network
    kept: Kept
    resources: Resources
    figures: Mapping[Resource, Measurement]
    latency: Latency | None
    holdout: Score
    test: Score


@dataclass(frozen=True, kw_only=True)
class Finished(ResultFound):
    """The last event of a search. `uniform` is what its result is compared with, where that was asked for."""

    uniform: Uniform | None = None


Event = (
    PhaseChanged
    | OriginalEvaluated
    | Measured
    | StaircaseFound
    | BudgetResolved
    | IterationStarted
    | ProposalSkipped
    | ControlEvaluated
    | ProposalEvaluated
    | ProposalJudged
    | ProposalGivenUp
    | RungDone
    | CutsJoined
    | IterationDone
    | EpochDone
    | Message
    | ResultFound
    | UniformChosen
    | Finished
)
