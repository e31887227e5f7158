"""Cuts of a single channel group, from randomly pruned starting points, as a search meets them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapt.graph.network import Graph
from adapt.graph.pruning import ChannelGroup, pruned_graph
from adapt.latency.predictor import Predictor
from adapt.latency.variants import variant_counts
from adapt.reach import counts_of

SAVING = 0.03
NEAR = (0.02, 0.045)  # counts are whole multiples: no cut saves just so much
SEED = 4242
STARTS = 200


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Channel counts by group; they differ in one. `predicted_saving` is a fraction of what `before` takes."""

    before: Mapping[str, int]
    after: Mapping[str, int]
    predicted_saving: float


def single_cuts(graph: Graph, groups: Sequence[ChannelGroup], predictor: Predictor, *, wanted: int) -> list[Cut]:
    """Up to `wanted`, each from a starting point of its own, in a random group that can save about 3 %."""
    cuts: list[Cut] = []
    for index, before in enumerate(variant_counts(groups, STARTS, SEED, multiple=8, minimum=8)):
        if len(cuts) == wanted:
            break
        shuffled = sorted(groups, key=lambda group: group.id)
        random.Random(SEED + index).shuffle(shuffled)
        found = (_nearest_cut(graph, groups, group, before, predictor) for group in shuffled if group.prunable)
        if cut := next((cut for cut in found if cut is not None), None):
            cuts.append(cut)
    return cuts


def _nearest_cut(
    graph: Graph, groups: Sequence[ChannelGroup], group: ChannelGroup, before: Mapping[str, int], predictor: Predictor
) -> Cut | None:
    before_ms = predictor.predict_ms(pruned_graph(graph, groups, before))
    cuts = []
    for count in counts_of(group, multiple=8, minimum=8):
        if count < before[group.id]:
            after = {**before, group.id: count}
            saving = 1 - predictor.predict_ms(pruned_graph(graph, groups, after)) / before_ms
            cuts.append(Cut(before=before, after=after, predicted_saving=saving))
    near = [cut for cut in cuts if NEAR[0] <= cut.predicted_saving <= NEAR[1]]
    return min(near, key=lambda cut: abs(cut.predicted_saving - SAVING), default=None)
