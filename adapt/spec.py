"""What a search is asked to do: frozen values that cross every border. Needs no torch."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Resource = str
"""One of RESOURCES, or the name of a measured one that a caller of `adapt.run` brings along."""
RESOURCES: tuple[Resource, ...] = ("latency_ms", "macs", "params", "memory_bytes")
Resources = Mapping[Resource, float]
"""Resource -> value: latency in milliseconds at the target's batch, mult-adds, parameters, bytes."""

Pick = Literal["highest-accuracy", "best-slope", "mnasnet-reward"]
Importance = Literal["l1", "l2", "geometric-median", "taylor", "activation", "random"]
"""By which channels are ranked within a group (adapt.importance); installed packages add further ones."""
NormalizationFrom = Literal["model", "data"]
"""Which mean and deviation pixels are normalised by: those stated with the model, or those of the training images."""
Final = Literal["finetune", "from-scratch", "none"]
"""What becomes of the network that the search ends with: trained further, or anew from newly drawn weights."""
Search = Literal["exact", "racing"]
"""How the proposals of an iteration are judged: each trained to the end, or in a race (adapt.race)."""
Compare = Literal["none", "uniform"]
"""With what a result is compared: uniform, the width multiplier that costs as much."""
Proposals = Literal["groups", "paper"]
"""Who shrinks in one proposal: what must be of one size, or what MobileNetV3 (section 4.2) shrinks at once."""
ExecutorName = Literal["serial", "processes", "ray"]
"""Where the proposals of an iteration train: in turn, in processes of the worker's machine, or on a Ray cluster."""
DeviceName = Literal["cpu", "cuda"]
"""Where networks are trained and scored; where latency is measured is the target's affair."""


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """Per channel, applied to pixel / 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def default_normalization(channels: int) -> Normalization:
    """ImageNet's for three channels, one half for anything else (API.md, POST /v1/models)."""
    return IMAGENET if channels == 3 else Normalization(mean=(0.5,) * channels, std=(0.5,) * channels)


@dataclass(frozen=True, kw_only=True)
class Step:
    """The resource reduction schedule dR_i = max(initial * decay^(i-1), floor), in fractions of the original.

    Source: NetAdapt (Yang et al., 2018), section 4. `floor` keeps a preset from creeping to a halt before the
    budget; an explicit schedule has none, and is refused when its steps cannot sum up to the budget.
    """

    initial: float
    decay: float
    floor: float = 0.0

    def fraction(self, iteration: int) -> float:
        """dR of iteration 1, 2, ... as a fraction of the original resource."""
        return max(self.initial * self.decay ** (iteration - 1), self.floor)


@dataclass(frozen=True, kw_only=True)
class Reward:
    """The exponents of MnasNet's reward ACC x (LAT / T)^w: w is `alpha` within the budget T and `beta` beyond it.

    Source: MnasNet (Tan et al., 2019), section 3.1. The default is its soft constraint; the hard one is 0 and -1.
    """

    alpha: float = -0.07
    beta: float = -0.07


@dataclass(frozen=True, kw_only=True)
class Race:
    """Of the search `racing`. `standard_errors`: of a paired difference, above which the hold-out tells two networks
    apart. `rest`: iterations for which a group is not let in that was told from the best at the first rung. `picks`:
    proposals at most that become one network."""

    standard_errors: float = 2.0
    rest: int = 2
    picks: int = 2


@dataclass(frozen=True, kw_only=True)
class GroupLimits:
    """What holds for the groups that a glob names, in place of the settings' own value; None: that value."""

    min_channels: int | None = None
    max_removed: float | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The effective settings of a job (API.md, Job request). Defaults are the `netadapt` preset's."""

    preset: str = "netadapt"
    pick: Pick = "highest-accuracy"
    reward: Reward = Reward()  # of the pick mnasnet-reward
    schedule: Mapping[Resource, Step] = field(
        default_factory=lambda: {resource: Step(initial=0.03, decay=0.98, floor=0.005) for resource in RESOURCES}
    )
    search: Search = "exact"
    race: Race = Race()  # of the search racing
    proposals: Proposals = "groups"
    largest_share: float = 1.0  # of a group's filters that one iteration may take; presets but `netadapt`: 0.5
    short_term_steps: int = 200
    long_term_epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 0.01
    long_term_learning_rate: float = 0.01
    training_epochs: int = 60  # before the search, of a zoo architecture that came without weights
    training_learning_rate: float = 0.1
    batch_norm_batches: int = 8  # that statistics are re-estimated on before an accuracy is taken; 0: not at all
    momentum: float = 0.9
    weight_decay: float = 1e-4
    importance: str = "l2"  # an Importance, or one that another package adds (adapt.plugins)
    round_channels_to: int | Literal["auto"] = 8  # auto: the step of the latency staircase, found by measuring
    min_channels: int = 8
    max_removed: float = 1.0  # of a group's original channels, in the whole search
    group_limits: Mapping[str, GroupLimits] = field(default_factory=dict)  # by globs; of several the strictest holds
    include: tuple[str, ...] = ()  # globs on layer names; empty: every group
    exclude: tuple[str, ...] = ()
    distill: bool = False  # fine-tunes also learn the original's scores
    distill_temperature: float = 4.0
    distill_weight: float = 0.9  # of the original's scores; the rest is the labels'
    augment: bool = False  # small random shifts of the images that are trained on
    normalization: NormalizationFrom = "model"
    final: Final = "finetune"
    compare: Compare = "none"
    executor: ExecutorName = "processes"
    device: DeviceName = "cpu"
    holdout: float = 0.1  # at least; small data sets give more (see adapt.data)
    holdout_max: float = 0.0  # of the training images set aside in all, to judge again what is close; 0: none further
    allow_low_accuracy: bool = False
    seed: int = 0

    @property
    def rounding(self) -> int:
        """`round_channels_to` as the number that it has to be wherever channels are counted."""
        if self.round_channels_to == "auto":
            raise ValueError("round_channels_to is still auto: adapt.rounding finds the number first")
        return self.round_channels_to


@dataclass(frozen=True, kw_only=True)
class TrainingSpeed:
    """Of a network's training step on one thread of the machine that trains, and how many it trains at once."""

    ms_per_image: float
    processes: int


FEWEST_AT_ONCE = 2
"""Images, where memory is short: a batch norm has nothing to compare a single one with."""


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from values such as (job seed, iteration, group id): never from order or clock."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
