"""A search without training or clocks: a chain of convolutions, accuracies by a seeded law, a formula for latency."""

import hashlib
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from adapt.events import EpochDone, Evaluation, Latency, OriginalEvaluated, Score
from adapt.executors.contract import Candidate, Failure
from adapt.graph.costs import costs
from adapt.graph.network import Graph, Network, Node, Weights
from adapt.graph.pruning import ChannelGroup, Kept, Kind, Slice, prune
from adapt.search import Effort, Job, Meter
from adapt.spec import Settings
from adapt.stop import Stop


def chain_network(channels: Sequence[int] = (16, 24, 32), classes: int = 10, seed: int = 0) -> Network:
    """conv-relu per entry of `channels` on an 8x8 image, global mean, linear head."""
    random = np.random.default_rng(seed)
    nodes, shapes = [], {}
    value, before = "image", 3
    for index, count in enumerate(channels):
        shapes[f"conv{index}.weight"] = (count, before, 3, 3)
        nodes.append(
            Node(
                name=f"conv{index}",
                operator="conv2d",
                inputs=(value,),
                attributes={"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)},
                weights={"weight": f"conv{index}.weight"},
                layer=f"conv{index}",
            )
        )
        nodes.append(Node(name=f"relu{index}", operator="relu", inputs=(f"conv{index}",), layer=f"relu{index}"))
        value, before = f"relu{index}", count
    nodes.append(Node(name="mean", operator="mean", inputs=(value,), attributes={"keepdim": False}, layer=""))
    shapes |= {"head.weight": (classes, before), "head.bias": (classes,)}
    nodes.append(
        Node(
            name="head",
            operator="linear",
            inputs=("mean",),
            weights={"weight": "head.weight", "bias": "head.bias"},
            layer="head",
        )
    )
    graph = Graph(input_name="image", input_shape=(3, 8, 8), nodes=tuple(nodes), output="head", weight_shapes=shapes)
    weights = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return Network(graph, weights)


def chain_groups(network: Network) -> tuple[ChannelGroup, ...]:
    """One plain group per convolution of `chain_network`, and the head, which is never pruned."""
    convolutions = [name for name in network.graph.weight_shapes if name.startswith("conv")]
    consumers = [*convolutions[1:], "head.weight"]
    groups = []
    for tensor, consumer in zip(convolutions, consumers, strict=True):
        count = network.graph.weight_shapes[tensor][0]
        each = tuple((channel,) for channel in range(count))
        groups.append(
            ChannelGroup(
                id=tensor.removesuffix(".weight"),
                kind="plain",
                layers=(tensor.removesuffix(".weight"),),
                channels=count,
                slices=(
                    Slice(tensor=tensor, axis=0, positions=each, filters=True),
                    Slice(tensor=consumer, axis=1, positions=each),
                ),
            )
        )
    return tuple(groups)


def bottleneck_groups(network: Network) -> tuple[ChannelGroup, ...]:
    """The groups of `chain_network`, called expansion and bottleneck by turns."""
    kinds: tuple[Kind, ...] = ("bottleneck", "expansion")
    return tuple(replace(group, kind=kinds[index % 2]) for index, group in enumerate(chain_groups(network)))


def _unit(*parts: object) -> float:
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


@dataclass
class StandInExecutor:
    """Cuts for real; the accuracy is a seeded figure, coarse so that ties occur."""

    original: Network
    groups: Sequence[ChannelGroup]
    seed: int = 0
    fail: frozenset[str] = frozenset()
    evaluated: list[tuple[str | None, int]] = field(default_factory=list)

    def evaluate(
        self, network: Network, before: Kept, candidates: Sequence[Candidate], stop: Stop
    ) -> Generator[Evaluation | Failure, None, None]:
        for candidate in candidates:
            self.evaluated.append((candidate.group, candidate.seed))
            if candidate.group in self.fail:
                yield Failure(group=candidate.group, attempts=3, reason="its process died")
                continue
            cut = prune(self.original.graph, self.groups, network, before, candidate.kept)
            luck = _unit(self.seed, candidate.seed)
            yield Evaluation(
                group=candidate.group,
                accuracy_before_finetune=0.5,
                accuracy=round(0.8 + 0.2 * luck, 2),
                loss=round(luck, 1),
                steps=1,
                attempts=1,
                seconds=0.0,
                weights=cut.weights,
            )

    def close(self) -> None:
        self.evaluated.clear()


class StandInEvidence:
    """A seed, and figures by a seeded law: `asked` says which were looked at."""

    def __init__(self, network: Network, seed: int) -> None:
        self.network, self.seed = network, seed
        self.asked: list[str] = []

    def activations(self) -> Mapping[str, NDArray[np.float64]]:
        self.asked.append("activations")
        return self._by_column("activations")

    def saliences(self) -> Sequence[Mapping[str, NDArray[np.float64]]]:
        self.asked.append("saliences")
        return [self._by_column(batch) for batch in range(2)]

    def _by_column(self, name: object) -> Mapping[str, NDArray[np.float64]]:
        readers = {tensor: array for tensor, array in self.network.weights.items() if array.ndim > 1}
        return {
            tensor: np.array([_unit(name, self.seed, tensor, column) for column in range(array.shape[1])])
            for tensor, array in readers.items()
        }


class StandInTrainer:
    """Scores are fixed; the long-term fine-tune runs its epochs and changes nothing."""

    def __init__(
        self, accuracy: float = 0.9, epochs: int = 2, scratch_loss: float = 3.0, further_images: int = 0
    ) -> None:
        self.accuracy, self.epochs, self.scratch_loss = accuracy, epochs, scratch_loss
        self.looked_at: list[StandInEvidence] = []
        self.trained_for: list[int] = []
        self.judged: list[Network] = []
        self.further_images = further_images

    def score_original(self, network: Network) -> OriginalEvaluated:
        score = Score(accuracy=self.accuracy, loss=0.3, images=200)
        return OriginalEvaluated(holdout=score, test=score)

    def evidence(self, network: Network, seed: int) -> StandInEvidence:
        self.looked_at.append(StandInEvidence(network, seed))
        return self.looked_at[-1]

    def long_term_finetune(self, network: Network, state: Weights | None, stop: Stop) -> Iterator[EpochDone]:
        for epoch in range(1, self.epochs + 1):
            score = Score(accuracy=self.accuracy, loss=0.0, images=200)
            yield EpochDone(epoch=epoch, epochs=self.epochs, holdout=score, state=network.weights)

    steps_per_epoch = 10

    def finetune_for(self, network: Network, steps: int, state: Weights | None, stop: Stop) -> Iterator[EpochDone]:
        """Epochs of ten steps; `trained_for` says for how many steps."""
        self.trained_for.append(steps)
        epochs = math.ceil(steps / self.steps_per_epoch)
        done = 0 if state is None else int(state["epoch"][0])
        for epoch in range(done + 1, epochs + 1):
            score = Score(accuracy=self.accuracy, loss=0.0, images=200)
            left = {**network.weights, "epoch": np.array([epoch])}
            yield EpochDone(epoch=epoch, epochs=epochs, holdout=score, state=left)

    def train_from_scratch(self, network: Network, state: Weights | None, stop: Stop) -> Iterator[EpochDone]:
        """As far as anybody can see here: other weights, and a worse loss than any pick's unless they are lost."""
        for epoch in range(1, self.epochs + 1):
            score = Score(accuracy=self.accuracy, loss=self.scratch_loss, images=200)
            drawn = {name: np.full_like(tensor, 7) for name, tensor in network.weights.items()}
            yield EpochDone(epoch=epoch, epochs=self.epochs, holdout=score, state=drawn)

    def finetuned(self, network: Network, state: Weights) -> Network:
        return Network(network.graph, {name: state[name] for name in network.weights})

    def judge(self, network: Network) -> Score:
        """By a seeded law of the weights."""
        self.judged.append(network)
        luck = _unit("judged", [(name, float(network.weights[name].sum())) for name in sorted(network.weights)])
        return Score(accuracy=round(0.8 + 0.2 * luck, 3), loss=round(luck, 3), images=self.further_images)

    def test(self, network: Network) -> Score:
        return Score(accuracy=self.accuracy, loss=0.3, images=200)

    def test_onnx(self, onnx: bytes) -> Score:
        return Score(accuracy=self.accuracy, loss=0.3, images=200)


class FormulaMeter:
    """Latency by a formula of the mult-adds; the "measurement" is off the prediction by a seeded few per cent."""

    unit = "ms"
    margin = 0.02

    def __init__(self, bias: float = 0.05, interval: float = 0.005, seed: int = 0) -> None:
        self.bias, self.interval, self.seed = bias, interval, seed
        self.asked: list[str] = []

    def predict(self, graph: Graph) -> float:
        return 0.1 + costs(graph).macs / 1e6

    def measure(self, key: str, network: Network, effort: Effort = "usual") -> Latency:
        self.asked.append(key)
        predicted = self.predict(network.graph)
        structure = sorted(network.graph.weight_shapes.items())
        ms = predicted * (1 + self.bias * _unit(self.seed, structure))
        return Latency(
            ms=ms, low=ms * (1 - self.interval), high=ms * (1 + self.interval), original_ms=1.0, predicted_ms=predicted
        )


class StaircaseMeter(FormulaMeter):
    """What counts of a convolution are whole blocks of `step` filters, and `slow` counts cost a block more."""

    def __init__(self, step: int, slow: frozenset[int] = frozenset()) -> None:
        super().__init__(bias=0.0)
        self.step, self.slow = step, slow

    def predict(self, graph: Graph) -> float:
        filters = [shape[0] for name, shape in graph.weight_shapes.items() if name.startswith("conv")]
        return 1.0 + sum(math.ceil(count / self.step) + (count in self.slow) for count in filters)


class NoisyMeter(FormulaMeter):
    """Right in the median, with an interval of `wide` to either side, and of `narrow` when it measures longer."""

    def __init__(self, wide: float, narrow: float) -> None:
        super().__init__(bias=0.0)
        self.wide, self.narrow = wide, narrow

    def measure(self, key: str, network: Network, effort: Effort = "usual") -> Latency:
        latency = super().measure(key, network)
        width = 0.0 if key == "0" else self.wide if effort == "usual" else self.narrow
        return replace(latency, low=latency.ms * (1 - width), high=latency.ms * (1 + width))


_FORMULA = FormulaMeter()


def toy_job(asked: Mapping[str, object], settings: Settings, meter: Meter | None = _FORMULA, **parts: object) -> Job:
    """A search over `chain_network` that takes milliseconds; `parts` replace parts of it."""
    network = chain_network()
    groups = chain_groups(network)
    values: dict[str, object] = {
        "original": network,
        "groups": groups,
        "classes": 10,
        "asked": asked,
        "settings": settings,
        "executor": StandInExecutor(network, groups),
        "trainer": StandInTrainer(),
        "meters": {} if meter is None else {"latency_ms": FormulaMeter() if meter is _FORMULA else meter},
        "stop": lambda: False,
    }
    return Job(**(values | parts))  # type: ignore[arg-type]  # named parts, checked by the dataclass
