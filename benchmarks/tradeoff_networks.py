"""The networks of the trade-off: two of the papers', narrow enough for two cores and images of 24 pixels."""

from collections.abc import Callable, Mapping

from adapt.graph.network import Graph
from adapt.graph.pruning import pruned_graph
from adapt.groups import channel_groups
from adapt.latency.variants import random_network
from adapt.zoo.catalogue import get_architecture
from benchmarks.tradeoff_images import GLYPHS, SIDE


def _mobilenet_v1() -> Graph:
    """Half as wide, with the paper's strided stem."""
    return get_architecture(f"mobilenet_v1_0.50_{SIDE}").published_graph(len(GLYPHS))


def _resnet18() -> Graph:
    """Half as wide: the paper has no width multiplier, so every channel group is cut in half."""
    graph = get_architecture("resnet18").graph(len(GLYPHS), (3, SIDE, SIDE))
    groups = channel_groups(random_network(graph))
    return pruned_graph(graph, groups, {group.id: group.channels // 2 for group in groups if group.prunable})


def _mobilenet_v2() -> Graph:
    return get_architecture(f"mobilenet_v2_0.50_{SIDE}").published_graph(len(GLYPHS))


def _mobilenet_v3_small() -> Graph:
    return get_architecture(f"mobilenet_v3_small_{SIDE}").published_graph(len(GLYPHS))


NETWORKS: Mapping[str, Callable[[], Graph]] = {
    "mobilenet_v1_0.50": _mobilenet_v1,
    "resnet18_0.50": _resnet18,
    "mobilenet_v2_0.50": _mobilenet_v2,
    "mobilenet_v3_small": _mobilenet_v3_small,
}
COUNTED = ("mobilenet_v1_0.50", "resnet18_0.50")
"""Those that the bars are about."""
