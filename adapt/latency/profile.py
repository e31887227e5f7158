"""The look-up table, filled in context: whole pruned networks are profiled, never layers on their own.

A layer by itself finds its weights in the cache and pays no change of memory layout: tables of isolated layers are
wrong by up to a third. Here each operator's time is its share of an end-to-end latency that was measured paired with
the original's, in the same minute, so that neither the profiler's cost nor the machine's drift gets into the table.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from adapt.errors import MeasurementFailed
from adapt.graph.network import Graph, Network
from adapt.graph.pruning import ChannelGroup, pruned_graph
from adapt.latency.attribution import UnitTime, attribute, with_plain_names
from adapt.latency.conditions import Conditions
from adapt.latency.device import Device
from adapt.latency.measure import evaluated
from adapt.latency.network_files import NetworkFiles
from adapt.latency.predictor import fit
from adapt.latency.reading import Plan
from adapt.latency.runtimes.contract import Kernel
from adapt.latency.table import Entry, LookupTable
from adapt.latency.units import OVERHEAD, Unit, UnitPlan, find_units, plan_units
from adapt.latency.variants import random_network, variant_counts
from adapt.stop import Stop, never

Clock = Callable[[], float]

PLAN = Plan(minimum_pairs=9, minimum_s=0.0, maximum_s=1.0, half_width=0.02, profile_s=0.15)
OVERHEAD_SHAPE = "1>1"
LEAST_MS = 1e-6  # of a unit that the runtime has folded away: it was seen, and takes no time
OUTLIER = 4.0  # times the median error
LEAST_SHARE = 0.1  # of a kernel's time that is its own, whatever the profiler adds


@dataclass(frozen=True, kw_only=True)
class Profile:
    """`variants` networks were profiled in `seconds`, among them the original (`original_ms`, the median over the
    session) and the smallest that the rounding allows (`smallest_ratio` times the original)."""

    table: LookupTable
    variants: int
    seconds: float
    original_ms: float
    smallest_ratio: float


@dataclass(frozen=True)
class _Variant:
    """One network's units with the time that the profiler saw, its latency now, and its ratio to the original's."""

    graph: Graph
    units: Sequence[Unit]
    times: Sequence[UnitTime]
    unattributed: UnitTime
    ms: float
    ratio: float

    @property
    def profiled_ms(self) -> float:
        return sum(time.ms for time in self.times) + self.unattributed.ms

    @property
    def kernels(self) -> int:
        return sum(time.kernels for time in self.times) + self.unattributed.kernels


def take_profile(
    network: Network,
    groups: Sequence[ChannelGroup],
    device: Device,
    *,
    seed: int,
    variants: int = 32,
    multiple: int = 8,
    minimum: int = 8,
    maximum_seconds: float = 40.0,
    stop: Stop = never,
    clock: Clock = time.perf_counter,
) -> Profile:
    """Profiles the original, the smallest and randomly pruned versions of `network` on `device`.

    Counts are multiples of `multiple`, at least `minimum`. After `maximum_seconds` no further variant is begun, but
    three are always taken. Raises MeasurementFailed, and Stopped between two variants.
    """
    started = clock()
    plain = with_plain_names(network.graph)
    plan = plan_units(plain.nodes)
    files = NetworkFiles(kind=device.file, conditions=device.conditions)
    original = files.write_variant(random_network(plain))
    taken: list[_Variant] = []
    for counts in variant_counts(groups, max(variants, 3), seed, multiple=multiple, minimum=minimum):
        if len(taken) >= 3 and clock() - started >= maximum_seconds:
            break
        taken.append(_take(pruned_graph(plain, groups, counts), plan, device, files, original, stop))
    original_ms = statistics.median(variant.ms / variant.ratio for variant in taken)
    return Profile(
        table=_table(taken, original_ms, device.conditions),
        variants=len(taken),
        seconds=clock() - started,
        original_ms=original_ms,
        smallest_ratio=taken[1].ratio,
    )


def shares_of(graph: Graph, kernels: Sequence[Kernel], ms: float) -> tuple[Entry, ...]:
    """What each operator of one network took of its end-to-end latency `ms`, from a profile of it."""
    units = find_units(graph)
    times, unattributed = attribute(kernels, units, graph.output)
    profiled_ms = sum(time.ms for time in times) + unattributed.ms
    scale = ms / max(profiled_ms, ms)  # what a run takes beside its kernels is nobody's
    seen: dict[tuple[str, str], list[float]] = defaultdict(list)
    for unit, taken in zip(units, times, strict=True):
        seen[unit.operator, unit.shape].append(taken.ms * scale)
    return tuple(_entry(operator, shape, seen[operator, shape]) for operator, shape in sorted(seen))


def _take(graph: Graph, plan: UnitPlan, device: Device, files: NetworkFiles, original: bytes, stop: Stop) -> _Variant:
    reading = device.read(files.write_variant(random_network(graph)), original, PLAN, stop)
    paired = evaluated(reading)
    units = plan.units(graph)
    times, unattributed = attribute(reading.kernels, units, graph.output)
    if not any(time.ms for time in times):
        raise MeasurementFailed(reading.conditions.runtime, "its profile names no operator of the network")
    return _Variant(graph, units, times, unattributed, paired.ms, paired.ratio)


def _table(taken: Sequence[_Variant], original_ms: float, conditions: Conditions) -> LookupTable:
    seen: dict[tuple[str, str], list[float]] = defaultdict(list)
    gap_ms, cost_ms = _beside_the_kernels(taken)
    for variant in taken:
        for key, ms in _shares(variant, original_ms, gap_ms, cost_ms):
            seen[key].append(ms)
    entries = tuple(_entry(operator, shape, seen[operator, shape]) for operator, shape in sorted(seen))
    kernels_only = LookupTable(entries=entries, calibration=1.0, conditions=conditions)
    predict = fit(kernels_only).predict_ms
    calibration, overhead_ms = _end_to_end(
        [predict(variant.graph) for variant in taken], [variant.ratio * original_ms for variant in taken]
    )
    if overhead_ms >= LEAST_MS:
        entries += (Entry(operator=OVERHEAD, shape=OVERHEAD_SHAPE, ms=overhead_ms, count=len(taken), spread=0.0),)
    return LookupTable(entries=entries, calibration=calibration, conditions=conditions)


def _end_to_end(predicted_ms: Sequence[float], measured_ms: Sequence[float]) -> tuple[float, float]:
    """Factor and overhead for which factor x (prediction + overhead) is nearest to the measured, by relative error.

    Variants that were measured in a busy moment, several times farther off than most, are left out.
    """
    rows = np.array([predicted_ms, np.ones(len(predicted_ms))]).T / np.array(measured_ms)[:, None]
    ones = np.ones(len(rows))
    factor, fixed_ms = nnls(rows, ones)[0]
    errors = np.abs(rows @ (factor, fixed_ms) - ones)
    usual = errors <= OUTLIER * np.median(errors)
    factor, fixed_ms = nnls(rows[usual], ones[usual])[0]
    if factor <= 0:  # every variant took the same time: nothing tells the kernels from the rest
        return float(np.median(np.array(measured_ms) / predicted_ms)), 0.0
    return float(factor), float(fixed_ms / factor)


def _beside_the_kernels(taken: Sequence[_Variant]) -> tuple[float, float]:
    """What a run takes beside its kernels, and what the profiler adds to each kernel (ms); one of them is zero."""
    gap_ms = statistics.median(variant.ms - variant.profiled_ms for variant in taken)
    if gap_ms >= 0:
        return gap_ms, 0.0
    return 0.0, statistics.median(max(variant.profiled_ms - variant.ms, 0.0) / variant.kernels for variant in taken)


def _shares(
    variant: _Variant, original_ms: float, gap_ms: float, cost_ms: float
) -> list[tuple[tuple[str, str], float]]:
    """Every unit's own part of the variant's drift-corrected latency."""

    def own(time: UnitTime) -> float:
        return max(time.ms - cost_ms * time.kernels, LEAST_SHARE * time.ms)

    times = [own(time) for time in variant.times]
    scale = variant.ratio * original_ms / (sum(times) + own(variant.unattributed) + gap_ms)
    return [((unit.operator, unit.shape), ms * scale) for unit, ms in zip(variant.units, times, strict=True)]


def _entry(operator: str, shape: str, observed: Sequence[float]) -> Entry:
    ms = max(statistics.median(observed), LEAST_MS)
    quarter, _, three_quarters = statistics.quantiles(observed, n=4) if len(observed) > 1 else (ms, ms, ms)
    return Entry(
        operator=operator, shape=shape, ms=ms, count=len(observed), spread=max(three_quarters - quarter, 0) / ms
    )
