"""Randomly pruned versions of a network, for timing: their shapes are what counts, their weights are random."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from adapt.graph.network import Graph, Network
from adapt.graph.pruning import ChannelGroup
from adapt.reach import counts_of
from adapt.spec import derive_seed

LEAST_LEVEL = 0.15
JITTER = 0.3
LIKED = 8  # every kernel is at its best on multiples of this, or of a divisor

Counts = Mapping[str, int]


def variant_counts(
    groups: Sequence[ChannelGroup], variants: int, seed: int, *, multiple: int, minimum: int
) -> Iterator[Counts]:
    """Channel counts by group: of the original, of the smallest network, then of `variants` - 2 random ones.

    A random variant has a level between thin and full, spread evenly over the variants, and each group lies around
    it: networks as a search meets them, and far enough apart to tell the operators' shapes from each other. Where
    `multiple` is finer than kernels like it, half of the groups keep to counts that they like: a search will prefer
    those, and has to know by how much.
    """
    choices = {group.id: counts_of(group, multiple=multiple, minimum=minimum) for group in groups}
    liked = {group: [count for count in counts if count % LIKED == 0] or counts for group, counts in choices.items()}
    yield {group.id: group.channels for group in groups}
    yield {group: counts[0] for group, counts in choices.items()}
    levels = [LEAST_LEVEL + (1 - LEAST_LEVEL) * (index + 0.5) / max(variants - 2, 1) for index in range(variants - 2)]
    random.Random(derive_seed(seed, "levels")).shuffle(levels)  # whoever is cut short has still seen all levels
    for index, level in enumerate(levels):
        chance = random.Random(derive_seed(seed, "variant", index))
        yield {
            group.id: _nearest(
                (liked if chance.random() < 0.5 else choices)[group.id],
                (level + chance.uniform(-JITTER, JITTER)) * group.channels,
            )
            for group in groups
        }


def random_network(graph: Graph, seed: int = 0) -> Network:
    """`graph` with weights that keep activations in range: denormal numbers would cost time of their own."""
    chance = np.random.default_rng(seed)
    weights: dict[str, NDArray[np.generic]] = {}
    for node in graph.nodes:
        for role, name in node.weights.items():
            if name not in weights:
                weights[name] = _tensor(role, graph.weight_shapes[name], chance)
    return Network(graph, weights)


def _tensor(role: str, shape: tuple[int, ...], chance: np.random.Generator) -> NDArray[np.generic]:
    if role == "num_batches_tracked":
        return np.zeros(shape, dtype=np.int64)
    if len(shape) > 1:
        fan_in = math.prod(shape[1:])
        return chance.standard_normal(shape, dtype=np.float32) * np.float32(math.sqrt(2 / fan_in))
    return np.full(shape, 1.0 if role in ("weight", "running_var") else 0.0, dtype=np.float32)


def _nearest(counts: Sequence[int], wanted: float) -> int:
    return min(counts, key=lambda count: abs(count - wanted))
