"""What a search is given: its parts, as values and two interfaces, and where it stands."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from adapt.budget import Asked
from adapt.events import EpochDone, Latency, Measurement, OriginalEvaluated, Score
from adapt.executors.contract import Executor
from adapt.graph.network import Graph, Network, Weights
from adapt.graph.pruning import ChannelGroup, Kept
from adapt.importance import Evidence
from adapt.latency.staircase import Staircase
from adapt.noise import Difference
from adapt.spec import Resource, Resources, Settings
from adapt.stop import Stop

Effort = Literal["usual", "longer"]
"""How precise a measurement has to be: longer, where the usual could not tell whether a limit is met."""


class Meter(Protocol):
    """Where the figures of a measured resource come from; latency is one, and whoever brings another writes this.

    `unit` is for words. `margin` is how far below its limit the search aims, as a fraction: 0.02 where times are
    measured, 0 where the same network always gives the same figure.
    """

    @property
    def unit(self) -> str: ...

    @property
    def margin(self) -> float: ...

    def measure(self, key: str, network: Network, effort: Effort = "usual") -> Measurement:
        """Of the whole network, as it will be used, and above zero. `key` says which (adapt.events.Measured); one that
        is in the record is answered from it. Nothing of this search trains meanwhile. Raises MeasurementFailed."""
        ...

    def predict(self, graph: Graph) -> float:
        """For a network that nobody has run, in a millisecond, above zero. Only ratios count: the search scales them
        to what the current network was measured at."""
        ...


class Trainer(Protocol):
    """Evaluation and training outside of the proposals. One thread, reproducible bit for bit."""

    def score_original(self, network: Network) -> OriginalEvaluated: ...

    def evidence(self, network: Network, seed: int) -> Evidence:
        """What training images say about its channels; nothing is computed yet."""
        ...

    def long_term_finetune(self, network: Network, state: Weights | None, stop: Stop) -> Iterator[EpochDone]:
        """The epochs after the one that left `state` (None: all). Raises Stopped."""
        ...

    @property
    def steps_per_epoch(self) -> int: ...

    def finetune_for(self, network: Network, steps: int, state: Weights | None, stop: Stop) -> Iterator[EpochDone]:
        """As `long_term_finetune`, for so many steps; the last epoch may be a shorter one. Raises Stopped."""
        ...

    def train_from_scratch(self, network: Network, state: Weights | None, stop: Stop) -> Iterator[EpochDone]:
        """The same from newly drawn weights. Raises Stopped."""
        ...

    def finetuned(self, network: Network, state: Weights) -> Network:
        """`network` with the tensors of the state that an epoch left."""
        ...

    @property
    def further_images(self) -> int:
        """How many were set aside beside the hold-out (setting `holdout_max`)."""
        ...

    def judge(self, network: Network) -> Score:
        """On these further images alone."""
        ...

    def test(self, network: Network) -> Score:
        """On the test set: for reporting only, never for choosing."""
        ...

    def test_onnx(self, onnx: bytes) -> Score:
        """The same of a file that computes otherwise than its network: a quantised one."""
        ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """One search: the values it takes and whom it may ask.

    `meters` are of the resources that are not counted; without one for latency there is no figure of it, measured or
    not. `staircase` measures the step of channel counts; None where there is nothing to measure on. `notes` say what a
    person should know of how the images get into the network.
    """

    original: Network
    groups: Sequence[ChannelGroup]
    classes: int
    asked: Asked
    settings: Settings
    executor: Executor
    trainer: Trainer
    meters: Mapping[Resource, Meter]
    stop: Stop
    staircase: Callable[[], Staircase] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Left:
    """How a group left a race: at which rung (0: it was not let in), and how far the best one was ahead of it."""

    rung: int
    behind: Difference | None


@dataclass(frozen=True)
class Races:
    """What is recorded of a job's races: who left, by (iteration, group), and the last (iteration, rung) that is
    decided."""

    left: Mapping[tuple[int, str], Left] = field(default_factory=dict)
    decided: tuple[int, int] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Reached:
    """The result of a search that is not over yet."""

    iteration: int
    network: Network
    kept: Kept
    holdout: Score


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What the record holds of an earlier run; the default is a job that has not begun.

    `network` with `iteration` 0 starts a job from where another one ended; `steps_before` are the short-term steps that
    were behind it then. `epoch` is the last one of the long-term fine-tune of `network`, or with `final` of the network
    that the result is compared with: `final` is then the result, and `uniform` which width was chosen.
    """

    iteration: int = 0
    network: Network | None = None
    kept: Kept | None = None
    holdout: Score | None = None
    learning_rate: float | None = None
    original: OriginalEvaluated | None = None
    staircase: Staircase | None = None
    epoch: EpochDone | None = None
    races: Races = Races()
    steps_before: int = 0
    final: Reached | None = None
    uniform: int | None = None


@dataclass(frozen=True, kw_only=True)
class Current:
    """Net_i and Res_i; `figures` are the measurements among them, and those that were only to be reported.
    `learning_rate` is the short-term fine-tune's: it is halved once at most."""

    iteration: int
    network: Network
    kept: Kept
    resources: Resources
    figures: Mapping[Resource, Measurement]
    holdout: Score
    learning_rate: float

    @property
    def counts(self) -> dict[str, int]:
        return {group: len(channels) for group, channels in self.kept.items()}

    def keeping(self, positions: Mapping[str, Sequence[int]]) -> Kept:
        """The channels that stay when of these groups only these positions of their present filters do."""
        chosen = {group: tuple(self.kept[group][position] for position in those) for group, those in positions.items()}
        return {**self.kept, **chosen}

    @property
    def upper_ends(self) -> Resources:
        """Res_i, with the upper end of the interval where a figure was measured: what must be within the budget."""
        return {**self.resources, **{name: self.figures[name].high for name in self.resources if name in self.figures}}

    def upper_end(self, name: Resource) -> float | None:
        """Of one figure, where it was measured."""
        return self.figures[name].high if name in self.figures else None

    @property
    def latency(self) -> Latency | None:
        found = self.figures.get("latency_ms")
        return found if isinstance(found, Latency) else None
