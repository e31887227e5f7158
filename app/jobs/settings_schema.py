"""The settings of a job request: known keys only, every number bounded."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from adapt.bounds import BOUNDS, MAX_ROUNDING
from adapt.plugins import names
from adapt.presets import PRESETS, effective_settings
from adapt.spec import (
    RESOURCES,
    Compare,
    DeviceName,
    ExecutorName,
    Final,
    GroupLimits,
    NormalizationFrom,
    Pick,
    Proposals,
    Race,
    Reward,
    Search,
    Settings,
    Step,
)
from app.plugin_names import NameOf

_Pattern = Annotated[str, Field(min_length=1, max_length=200)]
_Patterns = Annotated[list[_Pattern], Field(max_length=100)]
_GLOB = "Globs on layer names (`features.*`); each has to match a layer of the network."
_MIN_CHANNELS = "Filters that every layer of a group keeps."
_MAX_REMOVED = "Share of a group's original channels that the whole search may remove."


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _bounded(kind: type, name: str, **how: Any) -> Any:
    """A number within adapt's bounds."""
    return Field(**how, **BOUNDS[kind][name].given)


class StepIn(_Strict):
    """dR_i = initial * decay^(i-1), as fractions of the original; of the two, the one left out is the preset's."""

    initial: float | None = _bounded(Step, "initial", default=None)
    decay: float | None = _bounded(Step, "decay", default=None)

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if self.initial is None and self.decay is None:
            raise ValueError("names neither initial nor decay")
        return self


class ScheduleByResource(_Strict):
    latency_ms: StepIn | None = None
    macs: StepIn | None = None
    params: StepIn | None = None
    memory_bytes: StepIn | None = None

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("names no resource")
        return self


class RewardIn(_Strict):
    """Of the pick mnasnet-reward, ACC x (LAT / T)^w: w is alpha within the budget T and beta beyond it. Equal, as by
    default (MnasNet's soft constraint), they let T cancel; its hard constraint is 0 and -1."""

    alpha: float = _bounded(Reward, "alpha", default=Reward.alpha)
    beta: float = _bounded(Reward, "beta", default=Reward.beta)


class RaceIn(_Strict):
    """Of the search racing (docs/racing.md)."""

    standard_errors: float = _bounded(
        Race,
        "standard_errors",
        default=Race.standard_errors,
        description="Of a difference image by image, above which the hold-out tells two networks apart.",
    )
    rest: int = _bounded(
        Race,
        "rest",
        default=Race.rest,
        description="Iterations for which a group is not let in that was told from the best at the first rung.",
    )
    picks: int = _bounded(
        Race,
        "picks",
        default=Race.picks,
        description="Proposals at most that become one network, if their effects add up.",
    )


class GroupLimitsIn(_Strict):
    """For the groups that a pattern names, in place of the settings' own value; of several patterns the strictest."""

    min_channels: int | None = _bounded(GroupLimits, "min_channels", default=None, description=_MIN_CHANNELS)
    max_removed: float | None = _bounded(GroupLimits, "max_removed", default=None, description=_MAX_REMOVED)

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if self.min_channels is None and self.max_removed is None:
            raise ValueError("sets neither min_channels nor max_removed")
        return self


def _schedule_of_one_kind(value: Any) -> Any:
    """A pair or a map: choosing by its keys makes the error speak of what was meant."""
    if value is None:
        return None
    if not isinstance(value, dict):  # left to the union, the error would point into its branches
        raise ValueError('has to be {"initial": f, "decay": f}, or a map of such by resource')
    kind = ScheduleByResource if value.keys() & set(RESOURCES) else StepIn
    return kind.model_validate(value)


def _whole_or_auto(value: Any) -> Any:
    """One text for both, in place of the union's one for each."""
    whole = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_ROUNDING
    if value is not None and value != "auto" and not whole:
        raise ValueError(f'has to be a whole number from 1 to {MAX_ROUNDING}, or "auto"')
    return value


class SettingsIn(_Strict):
    """Whatever is left out is the preset's."""

    preset: Literal["netadapt", "mobilenetv3", "quick"] = Field(
        default="netadapt", description="What all others are where the request does not set them."
    )
    pick: Pick | None = Field(default=None, description="Which proposal of an iteration wins (docs/choices.md).")
    schedule: Annotated[StepIn | ScheduleByResource | None, BeforeValidator(_schedule_of_one_kind)] = Field(
        default=None,
        description="How far an iteration goes: one pair for every resource, or a map by resource.",
    )
    proposals: Proposals | None = Field(
        default=None,
        description="groups: each channel group by itself. paper: as MobileNetV3, section 4.2, each expansion by "
        "itself and all bottlenecks of one size together.",
    )
    largest_share: float | None = _bounded(
        Settings,
        "largest_share",
        default=None,
        description="Of a group that one iteration may take, but for a step of the rounding.",
    )
    short_term_steps: int | None = _bounded(
        Settings, "short_term_steps", default=None, description="Training steps of a proposal before it is scored."
    )
    long_term_epochs: int | None = _bounded(
        Settings,
        "long_term_epochs",
        default=None,
        description="Epochs of the training that the search ends with; 0: none.",
    )
    batch_size: int | None = _bounded(Settings, "batch_size", default=None, description="Images of a training step.")
    learning_rate: float | None = _bounded(
        Settings,
        "learning_rate",
        default=None,
        description="Of the proposals' short training; a tenth to a hundredth of the original's peak rate is usual. "
        "Halved once, and said so, where it makes the control worse.",
    )
    long_term_learning_rate: float | None = _bounded(
        Settings,
        "long_term_learning_rate",
        default=None,
        description="Of the long training, which it falls to zero in (cosine).",
    )
    training_epochs: int | None = _bounded(
        Settings,
        "training_epochs",
        default=None,
        description="Of a zoo name only, which is trained on the data set first.",
    )
    training_learning_rate: float | None = _bounded(
        Settings, "training_learning_rate", default=None, description="Of that training, and of final: from-scratch."
    )
    batch_norm_batches: int | None = _bounded(
        Settings,
        "batch_norm_batches",
        default=None,
        description="Training batches that batch-norm statistics are re-estimated on before an accuracy is taken; 0: "
        "they stay what the fine-tune left.",
    )
    momentum: float | None = _bounded(Settings, "momentum", default=None, description="Of SGD, in every training.")
    weight_decay: float | None = _bounded(Settings, "weight_decay", default=None, description="In every training.")
    importance: Annotated[str, NameOf("importance")] | None = Field(
        default=None, description="By which the channels of a group are ranked (docs/choices.md)."
    )
    round_channels_to: Annotated[int | Literal["auto"] | None, BeforeValidator(_whole_or_auto)] = Field(
        default=None,
        description="Channel counts are multiples of it. auto: the step of the latency staircase, found by measuring "
        "on the target before the first iteration; 8 where no latency is budgeted or the target has no clock.",
    )
    min_channels: int | None = _bounded(Settings, "min_channels", default=None, description=_MIN_CHANNELS)
    max_removed: float | None = _bounded(Settings, "max_removed", default=None, description=_MAX_REMOVED)
    group_limits: Annotated[dict[_Pattern, GroupLimitsIn], Field(max_length=100)] | None = Field(
        default=None, description=f"Limits of their own for some groups. {_GLOB}"
    )
    include: _Patterns | None = Field(default=None, description=f"Only these are cut. {_GLOB}")
    exclude: _Patterns | None = Field(default=None, description=f"These are never cut. {_GLOB}")
    distill: bool | None = Field(
        default=None,
        description="Short- and long-term training also learn the scores of the original (Hinton et al., 2015).",
    )
    distill_temperature: float | None = _bounded(
        Settings, "distill_temperature", default=None, description="Both are softened by it."
    )
    distill_weight: float | None = _bounded(
        Settings,
        "distill_weight",
        default=None,
        description="Of the original's scores in the loss; the rest is the labels'.",
    )
    augment: bool | None = Field(default=None, description="Small random shifts of the images that are trained on.")
    normalization: NormalizationFrom | None = Field(
        default=None,
        description="`model` as stated with the model, `data` by mean and deviation of the training images.",
    )
    search: Search | None = Field(
        default=None,
        description="exact: every proposal is trained to the end, Algorithm 1 to the letter. racing: the worse half "
        "leaves early, and several may be picked at once (docs/racing.md).",
    )
    race: RaceIn | None = Field(default=None, description="Of `search: racing`.")
    final: Final | None = Field(
        default=None,
        description="finetune: the network that the search ends with is trained further for long_term_epochs. "
        "from-scratch: from newly drawn weights, from training_learning_rate on, as MobileNetV3 does. none: neither.",
    )
    compare: Compare | None = Field(
        default=None,
        description="uniform: also trains the network that one width multiplier over all groups makes at the result's "
        "measured figures, for as many steps, and reports it beside the result.",
    )
    executor: ExecutorName | None = Field(
        default=None,
        description="Where the proposals of an iteration train: one after the other, in a process for each core of the "
        "worker, or on the workers' Ray cluster, which needs the extra ray (docs/scaling.md).",
    )
    device: DeviceName | None = Field(
        default=None,
        description="Where networks are trained and scored. cuda needs a worker with a GPU that torch can use; "
        "latency is measured on the target all the same.",
    )
    holdout: float | None = _bounded(
        Settings,
        "holdout",
        default=None,
        description="Share of the training images that choices are made by, at least: small data sets give more. Not "
        "where the data set brings a hold-out of its own.",
    )
    holdout_max: float | None = _bounded(
        Settings,
        "holdout_max",
        default=None,
        description="Share of the training images set aside in all, the hold-out among them: proposals that the "
        "hold-out does not tell from the best one are judged again on all of these. 0: none beside the hold-out.",
    )
    allow_low_accuracy: bool | None = Field(
        default=None, description="Begin even where the original is hardly better than chance on the data set."
    )
    seed: int | None = _bounded(Settings, "seed", default=None, description="All of the randomness follows from it.")
    reward: RewardIn | None = Field(default=None, description="Of `pick: mnasnet-reward`.")

    @field_validator("final", mode="after")
    @classmethod
    def _has_epochs(cls, value: Final | None, others: ValidationInfo) -> Final | None:
        if value == "from-scratch" and others.data.get("long_term_epochs") == 0:
            raise ValueError("from-scratch trains for long_term_epochs, which are 0 here; at least 1 is needed")
        return value

    def asked_for(self) -> dict[str, Any]:
        """What the request itself sets: null is as good as left out."""
        return self.model_dump(exclude_none=True, exclude_unset=True)

    def effective(self) -> Settings:
        """With the preset's values filled in."""
        return effective_settings(self.model_dump(exclude_none=True))


def built_values() -> dict[str, Any]:
    """What `/v1/info` lists: the values of each choice that this version has."""
    return {
        "presets": list(PRESETS),
        "picks": list(get_args(Pick)),
        "proposals": list(get_args(Proposals)),
        "importances": list(names("importance")),
        "searches": list(get_args(Search)),
        "finals": list(get_args(Final)),
        "compares": list(get_args(Compare)),
        "executors": list(get_args(ExecutorName)),
        "devices": list(get_args(DeviceName)),
        "distill": [False, True],
        "augment": [False, True],
        "normalizations": list(get_args(NormalizationFrom)),
        "runtimes": list(names("runtime")),
    }
