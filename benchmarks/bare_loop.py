"""The arithmetic of a search's candidates and nothing else: plain loops of torch in processes of their own.

Everything is ready before the clock starts: the pruned networks as modules, the images as normalised tensors in
channels_last. What is timed is forward, backward and optimizer step of each batch, and the forward passes of every
accuracy that the search takes: batch-norm statistics, and the hold-out, before and after the steps.
"""

import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from multiprocessing.connection import Connection

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adapt.data.arrays import Rows
from adapt.data.dataset import Part, TrainingData
from adapt.data.split import batches, in_order
from adapt.executors.contract import Candidate
from adapt.graph.network import Graph, Network, Weights
from adapt.graph.pruning import prune
from adapt.modules import build_module
from adapt.spec import Normalization, Settings, derive_seed
from adapt.training.device import device_of, mixed_precision, training_device
from benchmarks.searches import Search, Step

EVALUATION_BATCH = 128
Batches = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds of one candidate's arithmetic."""

    steps: float
    statistics: float
    evaluation_before: float
    evaluation: float

    @property
    def whole(self) -> float:
        return self.steps + self.statistics + self.evaluation_before + self.evaluation


@dataclass(frozen=True)
class _Bare:
    """A candidate's pruned network and the positions of its training batches."""

    graph: Graph
    weights: Weights
    seed: int


class BareLoop:
    """A process on one thread that trains the candidates it is given, one after the other."""

    def __init__(self, data: TrainingData, settings: Settings, core: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, data, settings, core), daemon=True)
        self._process.start()
        self._heard()

    def get_ready(self, step: Step, candidates: Sequence[Candidate], search: Search) -> None:
        """Cuts and builds, outside the time that is taken."""
        cut = [
            prune(search.original, search.groups, step.network, step.before, candidate.kept) for candidate in candidates
        ]
        self._ours.send(
            [
                _Bare(net.graph, dict(net.weights), candidate.seed)
                for net, candidate in zip(cut, candidates, strict=True)
            ]
        )
        self._heard()

    def start(self) -> None:
        self._ours.send("go")

    def times(self) -> list[Times]:
        """Of each candidate, once all are through."""
        found: list[Times] = self._heard()
        return found

    def close(self) -> None:
        self._ours.close()
        self._process.join(10)
        self._process.kill()

    def _heard(self) -> list[Times]:
        heard: list[Times] = self._ours.recv()
        return heard


@contextmanager
def bare_loops(data: TrainingData, settings: Settings, cores: Sequence[int]) -> Iterator[list[BareLoop]]:
    """One on each of the `cores`, idle until it is given something."""
    loops = [BareLoop(data, settings, core) for core in cores]
    try:
        yield loops
    finally:
        for loop in loops:
            loop.close()


def arithmetic(step: Step, search: Search, loops: Sequence[BareLoop]) -> Mapping[str, float]:
    """Seconds of the candidates of `step`: all `loops` busy at once, the sum over them divided by their number.

    `whole` is everything; `steps_and_evaluation` leaves out batch-norm statistics and the accuracy before the steps.
    """
    dealt = [step.candidates[first :: len(loops)] for first in range(len(loops))]
    for loop, own in zip(loops, dealt, strict=True):
        loop.get_ready(step, own, search)
    for loop in loops:
        loop.start()
    times = [time for loop in loops for time in loop.times()]
    return {
        "whole": sum(time.whole for time in times) / len(loops),
        "steps_and_evaluation": sum(time.steps + time.evaluation for time in times) / len(loops),
        "steps": sum(time.steps for time in times) / len(loops),
    }


def _serve(connection: Connection, data: TrainingData, settings: Settings, core: int) -> None:
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    device = training_device(settings.device)
    holdout = _ready(data.holdout, in_order(len(data.holdout), EVALUATION_BATCH), data.normalization, device)
    size = min(max(settings.batch_size, 64), len(data.train))
    picked = islice(batches(len(data.train), size, settings.seed), settings.batch_norm_batches)
    statistics = _ready(data.train, picked, data.normalization, device)
    connection.send([])
    while True:
        try:
            work: list[_Bare] = connection.recv()
        except EOFError:
            return
        ready = [(_module(bare, device), _training(bare, data, settings, device)) for bare in work]
        connection.send([])
        connection.recv()
        connection.send([_train(module, train, statistics, holdout, settings) for module, train in ready])


def _module(bare: _Bare, device: torch.device) -> nn.Module:
    module = build_module(Network(bare.graph, bare.weights))
    module.to(device)
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _training(bare: _Bare, data: TrainingData, settings: Settings, device: torch.device) -> Batches:
    order = batches(len(data.train), settings.batch_size, derive_seed(bare.seed, "short-term"))
    return _ready(data.train, islice(order, settings.short_term_steps), data.normalization, device)


def _ready(part: Part, positions: Iterator[Rows], normalization: Normalization, device: torch.device) -> Batches:
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (normalization.mean, normalization.std))
    ready = []
    for rows in positions:
        images, labels = part.take(rows)
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
        ready.append((((pixels / 255 - mean) / std).to(device), torch.from_numpy(labels).to(device)))
    return ready


def _train(module: nn.Module, train: Batches, statistics: Batches, holdout: Batches, settings: Settings) -> Times:
    optimizer = torch.optim.SGD(
        module.parameters(), lr=settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    device = device_of(module)
    marks = [_now(device)]
    _forward(module.train(), statistics)
    marks.append(_now(device))
    _forward(module.eval(), holdout)
    marks.append(_now(device))
    module.train()
    for images, labels in train:
        with mixed_precision(device):
            loss = F.cross_entropy(module(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    marks.append(_now(device))
    _forward(module, statistics)
    marks.append(_now(device))
    _forward(module.eval(), holdout)
    marks.append(_now(device))
    first, before, steps, second, after = (later - earlier for earlier, later in pairwise(marks))
    return Times(steps=steps, statistics=first + second, evaluation_before=before, evaluation=after)


def _now(device: torch.device) -> float:
    """Seconds, when whatever was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@torch.no_grad()
def _forward(module: nn.Module, data: Batches) -> None:
    for images, labels in data:
        (module(images).argmax(1) == labels).sum().item()
