"""What a user would do otherwise: a width multiplier, and Torch-Pruning's global criteria.

Each is cut until it is within the budget by its own measurement, in steps as small as counts in eights allow, and then
trains for as many steps as our search took in all, its discarded proposals included: whole epochs, rounded up.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from torch import Tensor

from adapt.assembly import fitted_data
from adapt.data.split import batches
from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup, Layout, all_kept, prune
from adapt.importance import ByColumn, keep_largest, l2
from adapt.importance import Subject as Importances
from adapt.reach import counts_of
from adapt.spec import default_normalization, derive_seed
from adapt.training.evidence import EVIDENCE_BATCHES
from adapt.training.scoring import to_tensors
from adapt.training.supervision import supervised
from adapt.zoo.initial import newly_drawn
from benchmarks.cells import Cell, Found
from benchmarks.tradeoff_study import (
    Subject,
    epoch_of,
    first_within,
    measured,
    original,
    recipe_about,
    trained,
)
from benchmarks.tradeoff_torch_pruning import IMPORTANCES, LARGEST_RATIO, ROUND_TO, STEPS, smaller_and_smaller

BASELINES = ("uniform-finetuned", "uniform-scratch", *IMPORTANCES)
FEWEST = 8
WIDTHS = 400  # looked at, so that no set of rounded counts is passed over


def baseline(subject: Subject, method: str, budget: float, steps: int) -> Found:
    """The network of `method` within `budget` after at least `steps` training steps; one from scratch trains as long
    as the original and these together."""
    cut = cut_to(subject, cut_method(method), budget)
    settings = subject.settings()
    epochs = math.ceil(steps / epoch_of(subject))
    scratch = method == "uniform-scratch"
    about = subject.about(method=method, cut=cut.key, epochs=epochs, recipe=recipe_about(settings))
    found = trained(
        subject,
        Cell(kind="baseline", config={**about, "learning_rate": settings.long_term_learning_rate}),
        lambda: newly_drawn(cut.network, subject.seed) if scratch else cut.network,
        epochs=epochs + (settings.training_epochs if scratch else 0),
        learning_rate=settings.training_learning_rate if scratch else settings.long_term_learning_rate,
    )
    return replace(found, values={**found.values, "total_steps": epochs * epoch_of(subject)})


def cut_method(method: str) -> str:
    """What cuts the original for this baseline."""
    return "uniform" if method.startswith("uniform") else method


def cut_to(subject: Subject, method: str, budget: float) -> Found:
    """The trained original, cut by `method` until its measured latency, the interval's upper end, is within `budget`.

    Raises NotThere when the method does not get there.
    """
    unpruned = original(subject)
    about = {"method": method, "budget": budget, "original": unpruned.key, "place": subject.place}
    how = {"round_to": ROUND_TO, "steps": STEPS, "largest_ratio": LARGEST_RATIO} if method in IMPORTANCES else {}
    cell = Cell(kind="cut", config=subject.about(**about, **how))
    if (found := subject.cells.find(cell)) is not None:
        return found
    network = unpruned.network
    candidates = list(
        widths(network, subject.groups) if method == "uniform" else _by_torch_pruning(subject, method, network)
    )
    ratios: dict[int, float] = {}

    def ratio_of(candidate: Network) -> float:
        ratios[id(candidate)] = measured(subject, candidate, network).ratio_high
        return ratios[id(candidate)]

    chosen = candidates[first_within(budget, candidates, ratio_of)]
    return subject.cells.store(cell, {"ratio_high": ratios[id(chosen)], "tried": len(candidates)}, chosen)


def widths(network: Network, groups: Sequence[ChannelGroup]) -> Iterator[Network]:
    """Every group thinned by the same multiplier, wider ones first, by the L2 norm of its filters."""
    kept = all_kept(groups)
    subject = Importances(network=network, layout=Layout(network.graph, groups, kept), evidence=_NoEvidence())
    importance = {group.id: l2(group, subject) for group in groups if group.prunable}
    last: Mapping[str, int] = {group.id: group.channels for group in groups}
    for width in range(WIDTHS - 1, 0, -1):
        counts = {group.id: _thinned(group, width / WIDTHS) for group in groups}
        if counts != last:
            last = counts
            left = {group: keep_largest(values, counts[group]) for group, values in importance.items()}
            yield prune(network.graph, groups, network, kept, {**kept, **left})


def _thinned(group: ChannelGroup, width: float) -> int:
    """The nearest count that the rounding allows."""
    return min(
        counts_of(group, multiple=ROUND_TO, minimum=FEWEST), key=lambda count: abs(count - width * group.channels)
    )


def _by_torch_pruning(subject: Subject, method: str, network: Network) -> Iterator[Network]:
    with fitted_data(network, subject.images, default_normalization(3), subject.settings()) as (_fitted, data):

        def some_batches() -> Iterator[tuple[Tensor, Tensor]]:
            size = subject.settings().batch_size
            order = batches(len(data.train), size, derive_seed(subject.seed, method))
            for positions in islice(order, EVIDENCE_BATCHES):
                yield to_tensors(*data.train.take(positions), data.normalization)

        with supervised(subject.lock, subject.stop):
            yield from smaller_and_smaller(method, network, subject.groups, some_batches, subject.seed)


class _NoEvidence:
    """Of a criterion that looks at no images."""

    seed = 0

    def activations(self) -> ByColumn:
        raise NotImplementedError

    def saliences(self) -> Sequence[ByColumn]:
        raise NotImplementedError
