"""What a training step brings down."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adapt.modules import GraphModule

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
