"""What training batches say about a network's channels: activations and gradients, reproducible bit for bit."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from adapt.data.dataset import TrainingData
from adapt.data.split import batches, batches_per_epoch
from adapt.graph.network import Network
from adapt.importance import ByColumn, Figures
from adapt.latency.machine_lock import MachineLock
from adapt.modules import GraphModule
from adapt.spec import Settings
from adapt.stop import Stop
from adapt.training.losses import cross_entropy
from adapt.training.out_of_memory import in_parts
from adapt.training.scoring import batch_for
from adapt.training.sgd import trainable_module
from adapt.training.supervision import Pulse, supervised

EVIDENCE_BATCHES = 8
"""Of the job's batch size; fewer where the training images do not fill them."""
T = TypeVar("T")
READERS = (nn.Conv2d, nn.Conv1d, nn.Linear)
"""Layers that read channels by the columns of their weight."""


class TrainingEvidence:
    """`adapt.importance.Evidence` of `network`, in evaluation mode: its own batch-norm statistics, no dropout.

    Holds the machine's lock while it computes. Its methods raise Stopped."""

    def __init__(
        self, network: Network, data: TrainingData, settings: Settings, lock: MachineLock | None, stop: Stop, seed: int
    ) -> None:
        self.seed = seed
        self._network, self._data, self._lock, self._stop = network, data, lock, stop
        self._batch_size, self._device = settings.batch_size, settings.device
        self.activations = cache(partial(self._in_parts, self._activations))
        self.saliences = cache(partial(self._in_parts, self._saliences))

    def _in_parts(self, found: Callable[[int], T]) -> T:
        """Where memory runs out, each batch in twice as many parts. Raises OutOfMemory."""
        return in_parts(found, batch=min(self._batch_size, len(self._data.train)))[0]

    def _activations(self, parts: int) -> ByColumn:
        """Eight forward passes."""
        module = trainable_module(self._network, self._device).eval()
        seen: dict[str, list[Figures]] = defaultdict(list)
        for name, reader in _readers(module):
            reader.register_forward_pre_hook(_noting(seen[f"{name}.weight"]))
        with supervised(self._lock, self._stop) as pulse, torch.no_grad():
            for batch in self._batches(module, pulse, parts):
                for images, _labels in batch:
                    module(images)
        return {tensor: np.mean(figures, axis=0) for tensor, figures in seen.items() if figures}

    def _saliences(self, parts: int) -> list[ByColumn]:
        """Eight forward and backward passes."""
        module = trainable_module(self._network, self._device).eval()
        loss = cross_entropy(module)
        found: list[ByColumn] = []
        with supervised(self._lock, self._stop) as pulse:
            for batch in self._batches(module, pulse, parts):
                module.zero_grad()
                size = sum(len(labels) for _images, labels in batch)
                for images, labels in batch:
                    (loss(images, labels) * (len(labels) / size)).backward()  # type: ignore[no-untyped-call]
                found.append({f"{name}.weight": _salience(reader.weight) for name, reader in _readers(module)})
        return found

    def _batches(self, module: GraphModule, pulse: Pulse, parts: int) -> Iterator[list[tuple[Tensor, Tensor]]]:
        """Each as the parts that it is computed in."""
        train = self._data.train
        number = min(EVIDENCE_BATCHES, batches_per_epoch(len(train), self._batch_size))
        for positions in islice(batches(len(train), self._batch_size, self.seed), number):
            pulse()
            images, labels = batch_for(module, train, positions, self._data.normalization)
            yield list(zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True))


def _readers(module: GraphModule) -> Iterator[tuple[str, Any]]:
    return ((name, layer) for name, layer in module.named_modules() if isinstance(layer, READERS))


def _noting(figures: list[Figures]) -> Any:
    """A hook that adds the mean absolute value of what each column of a layer's weight reads."""

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        (value,) = inputs
        axis = value.ndim - 1 if isinstance(layer, nn.Linear) else 1
        others = [other for other in range(value.ndim) if other != axis]
        by_channel = value.abs().mean(others, dtype=torch.float64).cpu().numpy()
        # The groups of a convolution read by the same columns.
        figures.append(by_channel.reshape(getattr(layer, "groups", 1), -1).mean(axis=0))

    return note


def _salience(weight: nn.Parameter) -> Figures:
    """Of a layer that the loss does not depend on: zero."""
    if weight.grad is None:
        return np.zeros(weight.shape[1])
    others = [axis for axis in range(weight.ndim) if axis != 1]
    figures: Figures = (weight.detach().double() * weight.grad.double()).sum(others).cpu().numpy()
    return figures
