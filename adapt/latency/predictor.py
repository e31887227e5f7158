"""A prediction for every structure, from the entries of a look-up table. Loads neither torch nor a runtime.

For each operator kind a sum of features of the shape with coefficients that are not negative: then a network with
fewer channels is never predicted to be slower, and every prediction is above zero. Kernels work on blocks of channels,
which makes latency a staircase; the features count whole blocks as well as channels. Counts that no kernel is made for
cost extra, so "fewer is never slower" is promised among multiples of four only. A place in the network (kind and image
size) that was seen often enough has coefficients of its own.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from adapt.errors import TableDoesNotCover
from adapt.graph.network import Graph, Node, Shape
from adapt.latency.table import Entry, LookupTable
from adapt.latency.units import OVERHEAD, UnitSignature, plan_units, signature, unit_of

BLOCK = 16  # channels that a kernel works on at once, the widest in use
FILTER_BLOCKS = 4  # blocks of filters for which a kernel reads its input once
ALIGNED = 4  # counts that are no multiple of this get slower kernels, or a change of layout before and after
MIN_POINTS_OF_A_PLACE = 8
RESOLUTION_MS = 0.001  # shorter times are weighed as if they took this long

Coefficients = tuple[float, ...]
Place = tuple[str, int, int]


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Made by `fit`; the same table makes the same predictor. Its caches make it unfit for several threads."""

    by_place: Mapping[Place, Coefficients]
    by_operator: Mapping[str, Coefficients]
    overhead_ms: float
    calibration: float
    _unit_ms: dict[tuple[str, str], float] = field(default_factory=dict, repr=False, compare=False)
    _plans: dict[int, tuple[tuple[Node, ...], list["_Part"]]] = field(default_factory=dict, repr=False, compare=False)

    def predict_ms(self, graph: Graph) -> float:
        """Predicted (never measured) end-to-end milliseconds of `graph` under the table's conditions, above zero.

        Raises TableDoesNotCover naming the operator kinds that the table has no entry for.
        """
        return self.calibration * (math.fsum(ms for _, ms in self._unit_times(graph)) + self.overhead_ms)

    def predict_ms_by_operator(self, graph: Graph) -> dict[str, float]:
        """Operator kind -> predicted milliseconds of all its units, with what is no unit's as "overhead": their sum is
        `predict_ms`. Raises TableDoesNotCover."""
        found: dict[str, float] = defaultdict(float)
        for operator, ms in self._unit_times(graph):
            found[operator] += self.calibration * ms
        if self.overhead_ms:
            found[OVERHEAD] = self.calibration * self.overhead_ms
        return dict(found)

    def _unit_times(self, graph: Graph) -> list[tuple[str, float]]:
        """Operator kind and milliseconds of each unit, before the calibration."""
        shapes: dict[str, Shape] = {graph.input_name: (1, *graph.input_shape)}
        missing: dict[str, None] = {}
        times = []
        for part in self._plan(graph):
            key = part.key(graph, shapes)
            known = part.known.get(key)
            if known is None:
                unit = unit_of(part.members, graph, shapes)
                if unit.operator not in self.by_operator:
                    missing[unit.operator] = None
                    continue
                ms = self.predict_unit_ms(unit.operator, unit.shape)
                known = part.known[key] = (shapes[part.signature.output], unit.operator, ms)
            shapes[part.signature.output], operator, ms = known
            times.append((operator, ms))
        if missing:
            raise TableDoesNotCover(tuple(missing))
        return times

    def predict_unit_ms(self, operator: str, shape: str) -> float:
        """One unit's share, before the calibration; `operator` must be one that the table has."""
        key = operator, shape
        if key not in self._unit_ms:
            size = Size.parse(shape)
            coefficients = self.by_place.get(place_of(operator, shape), self.by_operator[operator])
            self._unit_ms[key] = math.fsum(c * x for c, x in zip(coefficients, size.features(), strict=True))
        return self._unit_ms[key]

    def _plan(self, graph: Graph) -> "list[_Part]":
        # Pruned versions of a network share one tuple of nodes; keeping it keeps its id from being used again.
        known = self._plans.get(id(graph.nodes))
        if known is None:
            # By their last nodes: the shortcut of a sum may be computed after the layers that the sum is fused into.
            order = {node.name: index for index, node in enumerate(graph.nodes)}
            units = sorted(plan_units(graph.nodes).members, key=lambda members: order[members[-1].name])
            parts = [_Part(members, signature(members)) for members in units]
            known = self._plans[id(graph.nodes)] = (graph.nodes, parts)
        return known[1]


@dataclass(frozen=True)
class _Part:
    """A unit of a network's every pruned version; what was predicted for it once is `known`, by the shapes it has.

    A search asks for thousands of networks that differ in a layer or two.
    """

    members: tuple[Node, ...]
    signature: UnitSignature
    known: dict[tuple[Shape, ...], tuple[Shape, str, float]] = field(default_factory=dict)

    def key(self, graph: Graph, shapes: Mapping[str, Shape]) -> tuple[Shape, ...]:
        weights = graph.weight_shapes
        inputs = [shapes[name] for name in self.signature.inputs]
        return (*inputs, *[weights[name] for name in self.signature.weights])


def fit(table: LookupTable) -> Predictor:
    """Least squares of the relative errors, per operator kind and per place; the order of entries does not matter."""
    by_operator: dict[str, list[Entry]] = defaultdict(list)
    by_place: dict[Place, list[Entry]] = defaultdict(list)
    overhead_ms = 0.0
    for entry in sorted(table.entries, key=lambda entry: (entry.operator, entry.shape)):
        if entry.operator == OVERHEAD:
            overhead_ms += entry.ms
            continue
        by_operator[entry.operator].append(entry)
        by_place[place_of(entry.operator, entry.shape)].append(entry)
    return Predictor(
        by_place={
            place: _coefficients(entries)
            for place, entries in by_place.items()
            if MIN_POINTS_OF_A_PLACE <= len(entries) < len(by_operator[place[0]])
        },
        by_operator={operator: _coefficients(entries) for operator, entries in by_operator.items()},
        overhead_ms=overhead_ms,
        calibration=table.calibration,
    )


def place_of(operator: str, shape: str) -> Place:
    size = Size.parse(shape)
    return operator, size.area_in, size.area_out


def _coefficients(entries: Sequence[Entry]) -> Coefficients:
    features = np.array([Size.parse(entry.shape).features() for entry in entries])
    ms = np.array([entry.ms for entry in entries])
    # A point seen n times is known sqrt(n) times better; relative errors count alike, large operators or small.
    weights = np.sqrt([entry.count for entry in entries]) / np.maximum(ms, RESOLUTION_MS)
    scale = features.max(axis=0)
    scale[scale == 0] = 1.0  # nothing that is not aligned was seen: it costs nothing then
    solution: NDArray[np.float64] = nnls(features / scale * weights[:, None], ms * weights)[0]
    return tuple(float(value) for value in solution / scale)


@dataclass(frozen=True)
class Size:
    """A unit's shape key taken apart; `per_filter` is the number of input channels that a filter sees, 1 without."""

    channels_in: int
    area_in: int
    channels_out: int
    area_out: int
    per_filter: int

    @classmethod
    def parse(cls, shape: str) -> "Size":
        sides, _, per_filter = shape.partition("/")
        (channels_in, *area_in), (channels_out, *area_out) = (
            tuple(map(int, side.split("x"))) for side in sides.split(">")
        )
        return cls(channels_in, math.prod(area_in), channels_out, math.prod(area_out), int(per_filter or 1))

    def features(self) -> tuple[float, ...]:
        """None below zero; among counts that are `ALIGNED` none falls when a count grows."""
        blocks_in, blocks_out, blocks_seen = (
            float(math.ceil(count / BLOCK)) for count in (self.channels_in, self.channels_out, self.per_filter)
        )
        filter_sets = float(math.ceil(blocks_out / FILTER_BLOCKS))
        odd_in, odd_out = (float(count % ALIGNED != 0) for count in (self.channels_in, self.channels_out))
        work = float(self.channels_out * self.per_filter * self.area_out)
        return (
            1.0,
            float(self.area_out),
            float(self.channels_in * self.area_in),
            float(self.channels_out * self.area_out),
            blocks_in * self.area_in,
            blocks_out * self.area_out,
            work,
            blocks_out * self.per_filter * self.area_out,
            blocks_out * blocks_seen * self.area_out,
            filter_sets * self.per_filter * self.area_out,
            float(self.channels_out * self.per_filter),
            odd_in * self.channels_in * self.area_in,
            odd_in * work,
            odd_out * self.channels_out * self.area_out,
            odd_out * work,
        )
