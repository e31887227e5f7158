"""Stochastic gradient descent with momentum, in straight lines: the one way in which anything here is trained."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adapt.data.arrays import Rows
from adapt.data.dataset import Part
from adapt.data.split import batches
from adapt.graph.network import Network
from adapt.modules import GraphModule, build_module
from adapt.spec import DeviceName, Normalization, Settings, derive_seed
from adapt.training.augmentation import shifted
from adapt.training.device import (
    device_of,
    mixed_precision,
    random_state,
    raw_batch,
    restore_random_state,
    training_device,
)
from adapt.training.losses import Loss, cross_entropy
from adapt.training.scoring import batch_norms, normalized
from adapt.training.supervision import Diverged, Pulse

WITHOUT_BATCH_NORM = 0.1  # of the learning rate; measured: at the full rate such networks lose what they know
CLIP_NORM = 1.0  # of the whole gradient, for networks without batch norm only


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """`learning_rate` is for a network with batch norm; one without gets a tenth, and its gradient clipped. A batch is
    computed in `parts`, their gradients added up: the same step but for batch norms, which see a part at a time."""

    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float
    augment: bool = False
    parts: int = 1


def recipe_of(settings: Settings, learning_rate: float, parts: int = 1) -> Recipe:
    return Recipe(
        parts=parts,
        batch_size=settings.batch_size,
        learning_rate=learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        augment=settings.augment,
    )


def trainable_module(network: Network, device: DeviceName = "cpu") -> GraphModule:
    """The network as a module whose tensors are its own, in channels_last (a third faster on a CPU).

    Raises DeviceAbsent.
    """
    module = build_module(network).to(training_device(device))
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's own types
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    return module


class Sgd:
    """A module, its optimizer with fresh or given momentum, and the next step. Trains `module` in place, by default
    to lower the cross-entropy of its scores."""

    def __init__(
        self, module: nn.Module, normalization: Normalization, recipe: Recipe, loss: Loss | None = None
    ) -> None:
        self.module = module
        self._loss = loss or cross_entropy(module)
        self._normalization = normalization
        self._augment, self.parts = recipe.augment, recipe.parts
        self.device = device_of(module)
        self._clips = not batch_norms(module)
        self._learning_rate = recipe.learning_rate * (WITHOUT_BATCH_NORM if self._clips else 1.0)
        self._parameters = dict(module.named_parameters())
        # Decay is for filters; it would pull the scales of batch norms, and so whole channels, to zero.
        filters = [parameter for parameter in self._parameters.values() if parameter.ndim > 1]
        others = [parameter for parameter in self._parameters.values() if parameter.ndim <= 1]
        groups = [{"params": filters, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self._optimizer = torch.optim.SGD(
            [group for group in groups if group["params"]], lr=self._learning_rate, momentum=recipe.momentum
        )

    @property
    def momentum(self) -> dict[str, torch.Tensor]:
        """Momentum buffers by parameter name; empty before the first step."""
        state = self._optimizer.state
        buffers = {name: state[parameter].get("momentum_buffer") for name, parameter in self._parameters.items()}
        return {name: buffer for name, buffer in buffers.items() if buffer is not None}

    def restore_momentum(self, buffers: Mapping[str, torch.Tensor]) -> None:
        """Goes on with these buffers, of which nobody else may hold on to any."""
        for name, buffer in buffers.items():
            self._optimizer.state[self._parameters[name]]["momentum_buffer"] = buffer.to(self.device)

    def step(self, train: Part, positions: Rows, share: float, number: int, seed: int) -> None:
        """One step on these images at `share` of the learning rate; where the recipe augments them, `seed` and `number`
        say how. Raises Diverged, naming step `number`."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate * share
        self._optimizer.zero_grad()
        for pixels, labels in self._parts_of(*self._batch(train, positions, derive_seed(seed, "augment", number))):
            with mixed_precision(self.device):
                loss = self._loss(normalized(pixels, self._normalization), labels)
            if not math.isfinite(loss.item()):
                raise Diverged(number, self._learning_rate * share)
            (loss * (len(labels) / len(positions))).backward()  # type: ignore[no-untyped-call]
        if self._clips:
            nn.utils.clip_grad_norm_(self._parameters.values(), CLIP_NORM)
        self._optimizer.step()

    def _batch(self, train: Part, positions: Rows, seed: int) -> tuple[Tensor, Tensor]:
        """Pixels and labels; augmented ones come from the processor."""
        if not self._augment:
            return raw_batch(train, positions, self.device)
        images, labels = train.take(positions)
        return torch.from_numpy(shifted(images, seed)).to(self.device), torch.from_numpy(labels).to(self.device)

    def _parts_of(self, pixels: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(pixels.tensor_split(self.parts), labels.tensor_split(self.parts), strict=True)


def warm_up(step: int, steps: int) -> float:
    """Share of the rate in step 0, 1, ...: it rises over the first tenth of `steps`, then stays 1."""
    return min(1.0, (step + 1) / (steps // 10 + 1))


def cosine_to_zero(step: int, steps: int) -> float:
    """The same warm-up, times a half cosine that ends at zero."""
    return warm_up(step, steps) * 0.5 * (1 + math.cos(math.pi * step / steps))


def run_steps(
    sgd: Sgd,
    train: Part,
    *,
    steps: range,
    batch_size: int,
    share: Callable[[int], float],
    seed: int,
    pulse: Pulse,
    chance: torch.Tensor | None = None,
) -> torch.Tensor:
    """These steps (counted from 0 in the whole training); order, augmentation and dropout depend on `seed` alone.

    Returns how far chance has come, the generator's state. Given as `chance`, the steps go on where those from 0 to
    the first of them left it, with the batches that follow. Raises Diverged.
    """
    order = batches(len(train), batch_size, seed)
    with torch.random.fork_rng(devices=[sgd.device] if sgd.device.type == "cuda" else []):
        torch.manual_seed(seed)
        if chance is not None:
            restore_random_state(sgd.device, chance)
            for _seen in range(steps.start):
                next(order)
        sgd.module.train()
        for step in steps:
            pulse()
            sgd.step(train, next(order), share(step), step + 1, seed)
        return random_state(sgd.device)
