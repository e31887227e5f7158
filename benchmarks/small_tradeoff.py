"""A small trade-off on scikit-learn's digits: NetAdapt against the same network thinned evenly, at equal mult-adds.

Both start from one trained network and end with the same fine-tune. The test part is scored at the end alone.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from adapt.assembly import assembled, fitted_data
from adapt.budget import parse_budget
from adapt.data.dataset import TrainingData
from adapt.data.digits import digits
from adapt.events import EpochDone, Finished
from adapt.graph.costs import costs
from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup, Layout, all_kept, prune, pruned_graph
from adapt.groups import channel_groups
from adapt.importance import Subject, keep_largest, l2
from adapt.loop import adapt_network
from adapt.presets import effective_settings
from adapt.search import Progress
from adapt.spec import DeviceName, Settings, default_normalization
from adapt.stop import never
from adapt.training.evidence import TrainingEvidence
from adapt.training.from_scratch import train_from_scratch
from adapt.training.trainer import NetworkTrainer
from adapt.zoo.catalogue import get_architecture
from adapt.zoo.initial import initial_network

ARCHITECTURE, SIDE, CLASSES, BUDGET = "mobilenet_v1_0.50", 32, 10, 0.5
SETTINGS: Mapping[str, Any] = {
    "preset": "quick",
    "batch_size": 64,
    "short_term_steps": 20,
    "long_term_epochs": 10,
    "training_epochs": 20,
    "schedule": {"initial": 0.08, "decay": 0.98},
}


def small_tradeoff(device: DeviceName) -> dict[str, Any]:
    """Test accuracies of the original, of what the search found, and of the network thinned evenly; and their cost."""
    settings = effective_settings({**SETTINGS, "device": device})
    pixels = default_normalization(1)
    drawn = initial_network(get_architecture(ARCHITECTURE).graph(CLASSES, (1, SIDE, SIDE)), settings.seed)
    groups = channel_groups(drawn)
    seconds = [time.perf_counter()]
    with fitted_data(drawn, digits(), pixels, settings) as (fitted, data):
        trainer = NetworkTrainer(data, fitted.test, settings, None)
        epochs = train_from_scratch(drawn, data, settings, state=None, lock=None, stop=never)
        trained = trainer.finetuned(drawn, _last(epochs).state)
        seconds.append(time.perf_counter())
        thinned = _thinned_evenly(trained, groups, data, settings)
        thinned = trainer.finetuned(thinned, _last(trainer.long_term_finetune(thinned, None, never)).state)
        seconds.append(time.perf_counter())
        scores = {"original": trainer.test(trained).accuracy, "thinned": trainer.test(thinned).accuracy}
    finished, iterations = _searched(trained, groups, settings)
    seconds.append(time.perf_counter())
    whole = costs(trained.graph).macs
    took = [round(later - earlier, 1) for earlier, later in pairwise(seconds)]
    return {
        "data": "scikit-learn's digits, enlarged",
        "architecture": f"{ARCHITECTURE} at {SIDE} pixels",
        "budget_macs": BUDGET,
        "accuracy": {name: round(value, 4) for name, value in {**scores, "adapted": finished.test.accuracy}.items()},
        "macs": {
            "thinned": round(costs(thinned.graph).macs / whole, 3),
            "adapted": round(costs(finished.network.graph).macs / whole, 3),
        },
        "test_images": finished.test.images,
        "iterations": iterations,
        "seconds": dict(zip(("training", "thinned", "search"), took, strict=True)),
    }


def _searched(trained: Network, groups: Sequence[ChannelGroup], settings: Settings) -> tuple[Finished, int]:
    with assembled(
        trained,
        groups,
        digits(),
        default_normalization(1),
        asked=parse_budget({"macs": f"{BUDGET:.0%}"}),
        settings=settings,
        meters=lambda images: {},
        lock_directory=None,
        stop=never,
    ) as search:
        (finished,) = [event for event in adapt_network(search, Progress()) if isinstance(event, Finished)]
    return finished, finished.iteration


def _thinned_evenly(
    trained: Network, groups: Sequence[ChannelGroup], data: TrainingData, settings: Settings
) -> Network:
    """Every group cut by the same share, in multiples of the rounding: the largest such network within the budget."""
    whole = all_kept(groups)
    limit = BUDGET * costs(trained.graph).macs
    for share in (share / 100 for share in range(99, 0, -1)):
        counts = {
            group.id: max(settings.min_channels, round(share * group.channels / settings.rounding) * settings.rounding)
            for group in groups
            if group.prunable
        }
        if costs(pruned_graph(trained.graph, groups, counts)).macs <= limit:
            break
    subject = Subject(
        network=trained,
        layout=Layout(trained.graph, groups, whole),
        evidence=TrainingEvidence(trained, data, settings, None, never, settings.seed),
    )
    kept = {group.id: keep_largest(l2(group, subject), counts[group.id]) for group in groups if group.id in counts}
    return prune(trained.graph, groups, trained, whole, {**whole, **kept})


def _last(epochs: Iterator[EpochDone]) -> EpochDone:
    return deque(epochs, maxlen=1)[0]
