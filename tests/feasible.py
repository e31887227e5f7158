"""A small network with its groups, and a look-up table that covers it: what a feasibility check reads."""

from adapt.graph.network import Graph
from adapt.graph.pruning import pruned_graph
from adapt.latency.table import Entry, LookupTable
from adapt.latency.units import find_units
from adapt.presets import PRESETS
from adapt.reach import smallest_counts
from app.models.records import Structure
from tests.latency import CONDITIONS
from tests.toy_search import chain_groups, chain_network

NETWORK = chain_network()
GROUPS = chain_groups(NETWORK)
STRUCTURE = Structure(graph=NETWORK.graph, groups=GROUPS)
SETTINGS = PRESETS["quick"]


def smallest() -> Graph:
    return pruned_graph(NETWORK.graph, GROUPS, smallest_counts(GROUPS, SETTINGS))


def table() -> LookupTable:
    """One millisecond an operator in the original, a half in the smallest network."""
    found = {}
    for graph, ms in ((NETWORK.graph, 1.0), (smallest(), 0.5)):
        for unit in find_units(graph):
            found[unit.operator, unit.shape] = Entry(
                operator=unit.operator, shape=unit.shape, ms=ms, count=5, spread=0.1
            )
    return LookupTable(entries=tuple(found.values()), calibration=1.0, conditions=CONDITIONS)
