"""Resources that other packages add: an entry point names a class or function that is called without arguments and
answers a Meter (adapt.search), held here to what a Meter promises."""

import math
from collections.abc import Iterable

from adapt.events import Figure, Latency, Measurement
from adapt.graph.network import Graph, Network
from adapt.plugins import Plugin, load_plugin
from adapt.search import Effort, Meter
from adapt.spec import RESOURCES, Resource


def added_meters(asked: Iterable[Resource]) -> dict[Resource, Meter]:
    """Of each resource asked for that is none of ours. Raises PluginAbsent, PluginFailed."""
    return {name: AddedMeter(load_plugin("resource", name)) for name in asked if name not in RESOURCES}


class AddedMeter:
    """Raises PluginFailed where the plug-in raises, or answers what the search cannot go by."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin
        with plugin.blamed("its meter cannot be made"):
            self._meter: Meter = plugin.value()
            self.unit, self.margin = str(self._meter.unit), float(self._meter.margin)
        if not 0 <= self.margin < 1:
            raise plugin.failed(f"its margin is {self.margin}; it has to be a fraction from 0 on, below 1")

    def measure(self, key: str, network: Network, effort: Effort = "usual") -> Measurement:
        with self._plugin.blamed(f"measuring network {key!r}"):
            found = self._meter.measure(key, network, effort)
        if not isinstance(found, Figure | Latency):
            raise self._plugin.failed(f"what it measured is no Figure, but {type(found).__name__}")
        if not 0 < found.low <= found.value <= found.high < math.inf:
            told = f"{found.value} between {found.low} and {found.high}"
            raise self._plugin.failed(f"it measured {told}; it has to be above zero, and within its interval")
        return found

    def predict(self, graph: Graph) -> float:
        with self._plugin.blamed("predicting a network"):
            found = float(self._meter.predict(graph))
        if not 0 < found < math.inf:
            raise self._plugin.failed(f"it predicts {found}; it has to be above zero")
        return found
