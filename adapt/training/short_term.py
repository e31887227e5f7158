"""ShortTermFineTune (NetAdapt, Algorithm 1, line 11): a few steps, so that proposals can be told apart."""

from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from adapt.data.dataset import TrainingData
from adapt.graph.network import Weights
from adapt.spec import derive_seed
from adapt.training.losses import Loss
from adapt.training.sgd import Recipe, Sgd, run_steps, warm_up
from adapt.training.supervision import Pulse

# What the next leg of a training needs beside the weights: the optimizer's buffers, and the generator's state.
MOMENTUM, CHANCE = "momentum/", "chance"


def short_term_finetune(
    module: nn.Module,
    data: TrainingData,
    recipe: Recipe,
    *,
    steps: int,
    seed: int,
    pulse: Pulse,
    loss: Loss | None = None,
    leg: range | None = None,
    memory: Weights | None = None,
) -> dict[str, NDArray[Any]]:
    """Trains `module` in place for `steps` steps: constant rate after a warm-up, fresh momentum.

    It lowers `loss`, by default the cross-entropy of the module's scores. What comes out depends on the module, the
    data, the recipe, the loss and `seed` alone. `leg` is the part of the steps that is due (None: all of them). A leg
    that does not begin at 0 needs the module and the `memory`, the tensors by name which are returned, of the one
    before; legs one after the other give the bits of all steps at once. Raises Diverged when the loss is no
    number any more, Stopped from the pulse.
    """
    sgd = Sgd(module, data.normalization, recipe, loss)
    if memory is not None:
        sgd.restore_momentum({name: torch.tensor(buffer) for name, buffer in _momentum(memory).items()})
    chance = run_steps(
        sgd,
        data.train,
        steps=range(steps) if leg is None else leg,
        batch_size=recipe.batch_size,
        share=partial(warm_up, steps=steps),
        seed=derive_seed(seed, "short-term"),
        pulse=pulse,
        chance=None if memory is None else torch.tensor(memory[CHANCE]),
    )
    momentum = {MOMENTUM + name: buffer.cpu().contiguous().numpy().copy() for name, buffer in sgd.momentum.items()}
    return {**momentum, CHANCE: chance.numpy()}


def _momentum(memory: Weights) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(MOMENTUM): buffer for name, buffer in memory.items() if name.startswith(MOMENTUM)}
