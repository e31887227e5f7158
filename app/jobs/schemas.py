"""Jobs as HTTP sees them: what is asked, checked to the last number, and what is answered."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from adapt.budget import NO_PEAK_BUDGET
from app.jobs.settings_schema import SettingsIn
from app.labels import Label
from app.records import (
    CheckpointKind,
    EventKind,
    FileFormat,
    GroupKind,
    JobPhase,
    JobRequest,
    JobState,
    PointKind,
    ProposalState,
)

_PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?%")
_LARGEST = 1e15
Id = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")]


def _limit(value: Any) -> Any:
    """A number above zero, or "NN%" above 0 and up to 100."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError('has to be a number, or a percentage of the original such as "60%"')
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value):
            raise ValueError(f'{value!r} is neither a number nor a percentage such as "60%"')
        if not 0 < float(value[:-1]) <= 100:
            raise ValueError("a percentage has to be above 0 and at most 100")
    elif not 0 < value <= _LARGEST:
        raise ValueError(f"has to be above 0 and at most {_LARGEST:g}")
    return value


_DOCUMENTED = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0, "maximum": _LARGEST},
        {
            "type": "string",
            "pattern": f"^{_PERCENT.pattern}$",
            "description": "Of the original's; above 0%, up to 100%.",
        },
    ]
}
# One validator around the whole union: a fault is the field's, not that of each of its types.
Limit = Annotated[float | str | None, BeforeValidator(_limit), WithJsonSchema(_DOCUMENTED)]


class BudgetIn(BaseModel):
    """Upper limits: absolute, or per cent of the original."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})
    latency_ms: Limit = None
    macs: Limit = None
    params: Limit = None
    memory_bytes: Limit = None

    def as_asked(self) -> dict[str, float | str]:
        return {name: value for name, value in self.model_dump().items() if value is not None}


def _budget(value: Any) -> Any:
    if isinstance(value, dict):
        if "peak_memory_bytes" in value:
            raise ValueError(NO_PEAK_BUDGET)
        if not value:
            raise ValueError("names no resource; give at least one of latency_ms, macs, params, memory_bytes")
        if (unset := next((name for name, limit in value.items() if limit is None), None)) is not None:
            raise ValueError(f"{unset} is null; leave out what has no limit")
    return value


class JobIn(BaseModel):
    """POST /v1/jobs. In the one-call form `model` (and `dataset`) come as files instead."""

    model_config = ConfigDict(extra="forbid")
    model: Id
    dataset: Id = "digits"
    target: Id = "local"
    name: Label | None = None
    budget: Annotated[BudgetIn, BeforeValidator(_budget)]
    settings: SettingsIn = SettingsIn()


class ExtendIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    budget: Annotated[BudgetIn, BeforeValidator(_budget)]


def _budget_or_limit(value: Any) -> Any:
    """Of a list: a budget by resource, or a bare limit."""
    return BudgetIn.model_validate(_budget(value)) if isinstance(value, dict) else _limit(value)


_Bare = Annotated[float | str, WithJsonSchema(_DOCUMENTED)]
_Member = Annotated[BudgetIn | _Bare, BeforeValidator(_budget_or_limit)]
_Iteration = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]


def _different(iterations: list[int]) -> list[int]:
    if len(set(iterations)) < len(iterations):
        raise ValueError("names an iteration twice")
    return iterations


class FamilyIn(BaseModel):
    """Which picks of a job to train to the end. Neither: some, spread over its iterations."""

    model_config = ConfigDict(extra="forbid")
    iterations: (
        Annotated[
            list[_Iteration],
            Field(min_length=1, max_length=50, json_schema_extra={"uniqueItems": True}),
            AfterValidator(_different),
        ]
        | None
    ) = Field(default=None, description="Those of these iterations.")
    budgets: Annotated[list[_Member], Field(min_length=1, max_length=50)] | None = Field(
        default=None,
        description="For each the first pick that is within it. A bare figure is of the job's own budgeted resource.",
    )
    long_term_epochs: Annotated[int, Field(strict=True, ge=1, le=10_000)] | None = Field(
        default=None, description="Of each member's fine-tune; default: the job's."
    )


class LatencyOut(BaseModel):
    """Milliseconds. A prediction never stands under `measured`; null is unknown."""

    predicted: float | None
    measured: float | None
    low: float | None
    high: float | None


_PEAK = "Weights and the activations that are alive at once, by liveness in the graph's order: reported, no budget."


_HOLDOUT = "On the images that choices are made by. Null where an earlier version did not keep it."


class FiguresOut(BaseModel):
    latency_ms: LatencyOut
    macs: int | None
    params: int | None
    memory_bytes: int | None
    peak_memory_bytes: int | None = Field(description=_PEAK)
    accuracy: float | None = Field(description="A fraction 0-1: hold-out for `current`, test for the others.")
    holdout_accuracy: float | None = Field(description=_HOLDOUT)
    checkpoint: str | None


class UniformOut(FiguresOut):
    """The uniformly thinned network that the result is compared with (setting `compare`)."""

    width: float = Field(description="Its multiplier: the share of the channels that each group was to keep.")
    steps: int = Field(description="Of its training, as many as the result had.")


class ProgressOut(BaseModel):
    fraction: float
    iteration: int
    proposals_done: int
    proposals_total: int
    eta_seconds: float | None


class JobOut(BaseModel):
    id: str
    name: str | None
    state: JobState
    requested: JobRequest | None
    phase: JobPhase | None
    model: str
    dataset: str
    target: str
    budget: dict[str, float | str]
    limits: dict[str, float] | None
    settings: dict[str, Any]
    effective: dict[str, Any] | None = Field(
        description="What settings came to that left it to the job (`round_channels_to: auto`), once that is known."
    )
    continues: str | None = Field(description="The job whose iteration this one begins from.")
    from_iteration: int | None = Field(
        description="Of a member of a family: the iteration of `continues` whose pick it trains to the end."
    )
    progress: ProgressOut
    original: FiguresOut | None
    current: FiguresOut | None
    result: FiguresOut | None
    uniform: UniformOut | None
    error: dict[str, Any] | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    links: dict[str, str]


class JobListing(BaseModel):
    data: list[JobOut]
    next_cursor: str | None


class PointOut(BaseModel):
    """One network on the curve. Figures are null until they are known."""

    kind: PointKind = Field(description="`member` of the family; `uniform` is what the result of `job` compares with.")
    job: str
    state: JobState = Field(description="Of `job`.")
    iteration: int = Field(description="Of the search that the curve is of; 0 is the original.")
    checkpoint: str | None = Field(description="Of `job`: names its files.")
    latency_ms: LatencyOut
    macs: int | None
    params: int | None
    memory_bytes: int | None
    holdout_accuracy: float | None = Field(description=_HOLDOUT)
    test_accuracy: float | None = Field(description="For the report. Of picks it is not taken.")


class CurveOut(BaseModel):
    """From the most to the least of `resource`; what has no figure yet comes last."""

    job: str
    resource: str = Field(description="What the curve is drawn over: latency where it is budgeted.")
    data: list[PointOut]


class IterationOut(BaseModel):
    iteration: int
    constraint: dict[str, float]
    control: dict[str, float] | None
    calibration: float | None
    before: dict[str, float]
    after: dict[str, float] | None
    holdout: dict[str, float] | None
    picked: list[str]
    started_at: str
    finished_at: str | None


class IterationListing(BaseModel):
    data: list[IterationOut]
    next_cursor: str | None


class NextLargerOut(BaseModel):
    filters: int
    predicted: dict[str, float]


class JudgedAgainOut(BaseModel):
    accuracy: float
    standard_error: float
    loss: float
    images: int


_UNITS = "Channels of the group: in grouped convolutions of several filters each (`filters_each` of the model's group)."


class ProposalOut(BaseModel):
    id: str
    iteration: int
    group: str = Field(description="The channel group that shrinks; its first one where several do.")
    layers: list[str] = Field(description="The layers whose filters go, of all its groups.")
    kind: GroupKind
    filters_before: int = Field(description=_UNITS)
    filters_after: int | None = Field(description=_UNITS)
    state: ProposalState
    reason: str | None
    predicted: dict[str, float] | None
    next_larger: NextLargerOut | None
    kept: list[int] | None = Field(description="Of `group`: indices, among its filters before, of those that stay.")
    further: dict[str, list[int] | None] = Field(
        description="The groups that shrink to the same count with `group` (setting proposals: paper), and what each "
        "of them keeps."
    )
    accuracy_before_finetune: float | None
    accuracy: float | None
    accuracy_standard_error: float | None = Field(
        description="Of `accuracy`, from the binomial law: proposals closer than this are not told apart."
    )
    holdout_images: int | None = Field(description="The size of the hold-out that proposals are judged by.")
    judged_again: JudgedAgainOut | None = Field(
        description="On the hold-out and what `holdout_max` set aside beside it, where the hold-out did not tell this "
        "proposal from the best one; the pick is then the best of these."
    )
    loss: float | None
    delta_accuracy: float | None
    delta_latency_ms: float | None
    slope: float | None
    picked: bool
    steps: int | None
    attempts: int | None
    seconds: float | None
    rung: int | None = Field(
        description="Where a `raced-out` proposal left the race: 1 is the first rung; 0, it was not let in."
    )
    behind: float | None = Field(
        description="Of a `raced-out` one: how far the best of its rung was ahead in what the pick compares."
    )
    behind_standard_error: float | None = Field(description="Of `behind`, from the differences image by image.")


class ProposalListing(BaseModel):
    data: list[ProposalOut]
    next_cursor: str | None


class ProposalFieldsListing(BaseModel):
    """With `fields`: of each proposal those alone, as a ProposalListing has them."""

    data: list[dict[str, Any]]
    next_cursor: str | None


class FileOut(BaseModel):
    format: FileFormat
    bytes: int
    sha256: str
    accuracy: float | None = Field(
        description="On the test set, of a file that computes otherwise than the checkpoint's network: a quantised one."
    )
    url: str


class CheckpointOut(BaseModel):
    checkpoint: str
    kind: CheckpointKind
    iteration: int
    latency_ms: LatencyOut
    macs: int | None
    params: int | None
    memory_bytes: int | None
    peak_memory_bytes: int | None = Field(description=_PEAK)
    accuracy: float | None
    holdout_accuracy: float | None = Field(description=_HOLDOUT)
    filters: dict[str, int] = Field(description=f"By group. {_UNITS}")
    files: list[FileOut]
    created_at: str


class CheckpointListing(BaseModel):
    data: list[CheckpointOut]
    next_cursor: str | None


class OperatorLatencyOut(BaseModel):
    """Predicted milliseconds by kind of operator, the original's and those of `checkpoint`, the newest one. Both are
    null, and `reason` says why, where no look-up table has the network."""

    basis: Literal["predicted"] = "predicted"
    checkpoint: str | None
    original: dict[str, float] | None
    current: dict[str, float] | None
    reason: str | None


class EventOut(BaseModel):
    id: int
    event: EventKind
    job: str
    at: str
    data: dict[str, Any]


class EventListing(BaseModel):
    data: list[EventOut]
    next_cursor: str | None


class FeasibilityOut(BaseModel):
    """Is the budget reachable? null: not known yet, ask again after `retry_after_seconds`."""

    feasible: bool | None
    basis: Literal["measured", "predicted"] | None
    original: dict[str, float | None]
    smallest: dict[str, float | None]
    budget: dict[str, float | None]
    iterations_estimate: int | None
    seconds_estimate: float | None = Field(
        description="About how long the job takes, from how fast the network trains on the worker's machine; right "
        "within a factor of two or so."
    )
    reason: str | None
    retry_after_seconds: int | None
    latency: dict[Literal["original", "smallest"], LatencyOut] = Field(
        description="Those of `original` and `smallest` with their intervals."
    )
