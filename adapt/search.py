"""What a search is given: its parts, as values and two interfaces, and where it stands."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from adapt.budget import Asked
from adapt.events import EpochDone, Latency, OriginalEvaluated, Score
from adapt.executors.contract import Executor
from adapt.graph.network import Graph, Network, Weights
from adapt.graph.pruning import ChannelGroup, Kept
from adapt.latency.runtimes.choice import NetworkFile
from adapt.spec import Resources, Settings
from adapt.stop import Stop


class Meter(Protocol):
    """Where latency comes from: the look-up table of a target, and measurements on it.

    `margin` is how far below a latency limit the search aims: 0.02 where times are measured, 0 on a fixed table.
    """

    @property
    def margin(self) -> float: ...

    def measure(self, key: str, network: Network) -> Latency:
        """End to end on the target; a `key` that is in the record is answered from it. Raises MeasurementFailed."""
        ...

    def write(self, network: Network) -> Mapping[NetworkFile, bytes]:
        """The file that is measured, by its kind: it is offered byte for byte. Empty where nothing is measured."""
        ...

    def predict_ms(self, graph: Graph) -> float:
        """The look-up table's figure, not yet calibrated to the network at hand."""
        ...


class Trainer(Protocol):
    """Evaluation and training outside of the proposals. One thread, reproducible bit for bit."""

    def score_original(self, network: Network) -> OriginalEvaluated: ...

    def long_term_finetune(self, network: Network, state: Weights | None, stop: Stop) -> Iterator[EpochDone]:
        """The epochs after the one that left `state` (None: all). Raises Stopped."""
        ...

    def finetuned(self, network: Network, state: Weights) -> Network:
        """`network` with the tensors of the state that an epoch left."""
        ...

    def test(self, network: Network) -> Score:
        """On the test set: for reporting only, never for choosing."""
        ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """One search: the values it takes and whom it may ask. `meter` None: no latency figure, measured or not.
    `notes` say what a person should know of how the images get into the network."""

    original: Network
    groups: Sequence[ChannelGroup]
    classes: int
    asked: Asked
    settings: Settings
    executor: Executor
    trainer: Trainer
    meter: Meter | None
    stop: Stop
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What the record holds of an earlier run; the default is a job that has not begun.

    `network` with `iteration` 0 starts a job from where another one ended. `epoch` is the last one of the long-term
    fine-tune of `network`.
    """

    iteration: int = 0
    network: Network | None = None
    kept: Kept | None = None
    holdout: Score | None = None
    learning_rate: float | None = None
    original: OriginalEvaluated | None = None
    epoch: EpochDone | None = None


@dataclass(frozen=True, kw_only=True)
class Current:
    """Net_i and Res_i. `learning_rate` is the short-term fine-tune's: it is halved once at most."""

    iteration: int
    network: Network
    kept: Kept
    resources: Resources
    latency: Latency | None
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
        if "latency_ms" in self.resources and self.latency is not None:
            return {**self.resources, "latency_ms": self.latency.high}
        return self.resources
