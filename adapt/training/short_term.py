"""ShortTermFineTune (NetAdapt, Algorithm 1, line 11): a few steps, so that proposals can be told apart."""

from functools import partial

from torch import nn

from adapt.data.dataset import TrainingData
from adapt.spec import derive_seed
from adapt.training.losses import Loss
from adapt.training.sgd import Recipe, Sgd, run_steps, warm_up
from adapt.training.supervision import Pulse


def short_term_finetune(
    module: nn.Module,
    data: TrainingData,
    recipe: Recipe,
    *,
    steps: int,
    seed: int,
    pulse: Pulse,
    loss: Loss | None = None,
) -> None:
    """Trains `module` in place for `steps` steps: constant rate after a warm-up, fresh momentum.

    It lowers `loss`, by default the cross-entropy of the module's scores. What comes out depends on the module, the
    data, the recipe, the loss and `seed` alone. Raises Diverged when the loss is no
    number any more, Stopped from the pulse.
    """
    sgd = Sgd(module, data.normalization, recipe, loss)
    run_steps(
        sgd,
        data.train,
        steps=range(steps),
        batch_size=recipe.batch_size,
        share=partial(warm_up, steps=steps),
        seed=derive_seed(seed, "short-term"),
        pulse=pulse,
    )
