"""Training from initial weights: the long-term fine-tune's recipe with epochs, rate and seeds of its own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from adapt.data.dataset import TrainingData
from adapt.events import EpochDone
from adapt.graph.network import Network, Weights
from adapt.latency.machine_lock import MachineLock
from adapt.modules import GraphModule
from adapt.spec import Settings, derive_seed
from adapt.stop import Stop
from adapt.training.long_term import long_term_finetune
from adapt.training.losses import Loss, with_auxiliary
from adapt.zoo.initial import newly_drawn

SCRATCH = "from-scratch"


def train_from_scratch(
    network: Network,
    data: TrainingData,
    settings: Settings,
    *,
    state: Weights | None,
    lock: MachineLock | None,
    stop: Stop,
    auxiliary: Mapping[str, float] | None = None,
) -> Iterator[EpochDone]:
    """The epochs after the one that left `state` (None: all of `settings.training_epochs`), under a cosine to zero
    from `settings.training_learning_rate`. An epoch's seed is (job seed, "training", epoch). `auxiliary` names the
    scores of classifiers that only train along -> the weight of their loss. Raises Stopped."""
    own = replace(
        settings,
        long_term_epochs=settings.training_epochs,
        long_term_learning_rate=settings.training_learning_rate,
    )
    return long_term_finetune(
        network,
        data,
        own,
        state=state,
        lock=lock,
        stop=stop,
        purpose="training",
        loss_of=partial(with_auxiliary, auxiliary=auxiliary or {}),
    )


def train_again(
    network: Network,
    data: TrainingData,
    settings: Settings,
    *,
    state: Weights | None,
    lock: MachineLock | None,
    stop: Stop,
    loss_of: Callable[[GraphModule], Loss],
) -> Iterator[EpochDone]:
    """The `network` that a search found from newly drawn weights (MobileNetV3, Howard et al., 2019, section 4.2).

    The epochs after the one that left `state` (None: all of `settings.long_term_epochs`), under a cosine to zero from
    `settings.training_learning_rate`. Seeds begin with (job seed, "from-scratch"). Raises Stopped.
    """
    own = replace(settings, long_term_learning_rate=settings.training_learning_rate)
    drawn = newly_drawn(network, derive_seed(settings.seed, SCRATCH))
    return long_term_finetune(drawn, data, own, state=state, lock=lock, stop=stop, purpose=SCRATCH, loss_of=loss_of)
