"""What a training step brings down."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adapt.graph.network import Network
from adapt.modules import GraphModule, build_module
from adapt.spec import Settings
from adapt.training.device import device_of

Loss = Callable[[Tensor, Tensor], Tensor]
"""(images, labels) -> one number."""


def cross_entropy(module: nn.Module) -> Loss:
    """Of the module's scores."""
    return lambda images, labels: F.cross_entropy(module(images), labels)


def with_auxiliary(module: GraphModule, auxiliary: Mapping[str, float]) -> Loss:
    """Of the network's scores, plus those of the values that `auxiliary` names, each by its weight (Szegedy et al.,
    2015, sec. 5)."""
    weights = {module.output: 1.0, **auxiliary}

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        scores = module.values(images, tuple(weights))
        losses = [weight * F.cross_entropy(own, labels) for weight, own in zip(weights.values(), scores, strict=True)]
        return torch.stack(losses).sum()

    return loss


def distilled(module: nn.Module, teacher: nn.Module, *, temperature: float, weight: float) -> Loss:
    """(1 - weight) x cross-entropy + weight x temperature^2 x KL(teacher || module), both softened by `temperature`.

    Source: Hinton et al., 2015, section 2; the square keeps the gradients of both terms of one size. The teacher is
    asked anew in every step: it sees the images as they are augmented, and nothing has to be kept of its answers.
    """

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            soft = F.softmax(teacher(images) / temperature, dim=1)
        scores = module(images)
        learnt = F.kl_div(F.log_softmax(scores / temperature, dim=1), soft, reduction="batchmean")
        return (1 - weight) * F.cross_entropy(scores, labels) + weight * temperature**2 * learnt

    return loss


def fine_tuning(module: nn.Module, teacher: Network | None, settings: Settings) -> Loss:
    """What a fine-tune of `module` brings down: with a teacher its scores count too."""
    if teacher is None:
        return cross_entropy(module)
    original = build_module(teacher).eval().requires_grad_(False).to(device_of(module))
    original.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's own types
    return distilled(module, original, temperature=settings.distill_temperature, weight=settings.distill_weight)
