"""The look-up table, filled in context: whole pruned networks are profiled, never layers on their own.

A layer by itself finds its weights in the cache and pays no change of memory layout: tables of isolated layers are
wrong by up to a third. Here each operator's time is its share of an end-to-end latency that was measured paired with
the original's, in the same minute, so that neither the profiler's cost nor the machine's drift gets into the table.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from adapt.errors import MeasurementFailed
from adapt.graph.network import Graph, Network
from adapt.graph.pruning import ChannelGroup, pruned_graph
from adapt.latency.attribution import UnitTime, attribute, with_plain_names
from adapt.latency.calibration import LEAST_MS, LEAST_SHARE, MeasuredNetwork, agreeing_table
from adapt.latency.device import Device
from adapt.latency.measure import PairedMeasurement, evaluated
from adapt.latency.network_files import NetworkFiles
from adapt.latency.prior import covers, entries_today
from adapt.latency.reading import Plan, Reading
from adapt.latency.runtimes.contract import Kernel
from adapt.latency.table import Entry, LookupTable, joined
from adapt.latency.units import Unit, UnitPlan, find_units, plan_units
from adapt.latency.variants import random_network, variant_counts
from adapt.stop import Stop, never

Clock = Callable[[], float]

# Without patience: what fell into a busy moment is taken again later.
PLAN = Plan(minimum_pairs=8, minimum_s=0.0, maximum_s=1.2, patience=1.0, half_width=0.015, profile_s=0.15)
VARIANTS = 24
VARIANTS_WITH_A_PRIOR = 6
FEWEST_VARIANTS = 3
UNCERTAIN = 0.02  # a variant whose ratio is known no better is taken again, while there is time


@dataclass(frozen=True, kw_only=True)
class MeasuredVariant:
    """A whole network as it was measured: `counts` by group, milliseconds with their interval, drift-corrected to
    `original_ms` of the profile."""

    counts: Mapping[str, int]
    ms: float
    low: float
    high: float
    original_ms: float


@dataclass(frozen=True, kw_only=True)
class Profile:
    """`variants` networks were profiled in `seconds`, among them the original (`original_ms`, the median over the
    session) and the smallest that the rounding allows (`smallest_ratio` times the original): the first two of
    `measured`. `with_prior` says that an earlier table of the family made the others fewer."""

    table: LookupTable
    variants: int
    seconds: float
    original_ms: float
    smallest_ratio: float
    measured: tuple[MeasuredVariant, ...]
    with_prior: bool


@dataclass(frozen=True)
class _Variant:
    """One network's units with the time that the profiler saw, and its reading."""

    counts: Mapping[str, int]
    units: Sequence[Unit]
    times: Sequence[UnitTime]
    unattributed: UnitTime
    reading: Reading
    found: PairedMeasurement

    @property
    def profiled_ms(self) -> float:
        return sum(time.ms for time in self.times) + self.unattributed.ms

    @property
    def kernels(self) -> int:
        return sum(time.kernels for time in self.times) + self.unattributed.kernels

    def judged_by(self, level_ms: float) -> "_Variant":
        """By what the reference was later found to take when it is left alone."""
        return replace(self, found=evaluated(replace(self.reading, reference_level_ms=level_ms)))


def take_profile(
    network: Network,
    groups: Sequence[ChannelGroup],
    device: Device,
    *,
    seed: int,
    variants: int = VARIANTS,
    multiple: int = 8,
    minimum: int = 8,
    maximum_seconds: float = 40.0,
    prior: LookupTable | None = None,
    reading: Plan = PLAN,
    stop: Stop = never,
    clock: Clock = time.perf_counter,
) -> Profile:
    """Profiles the original, the smallest and randomly pruned versions of `network` on `device`.

    Counts are multiples of `multiple`, at least `minimum`. Each variant is looked at as `reading` says. After
    `maximum_seconds` no further one is begun, but three are always taken; until then, those that a busy machine made
    uncertain are taken again. Where `prior`, a table under the device's conditions, covers every place of the network,
    a handful of variants is enough: they say how quick the machine is today. Raises MeasurementFailed, and Stopped
    between two variants.
    """
    started = clock()
    plain = with_plain_names(network.graph)
    units_of = plan_units(plain.nodes)
    files = NetworkFiles(kind=device.file, conditions=device.conditions)
    original = files.write_variant(random_network(plain))
    known = prior is not None and covers(prior, units_of.units(plain), device.conditions)
    if known:
        variants = min(variants, VARIANTS_WITH_A_PRIOR)

    def take(counts: Mapping[str, int]) -> _Variant:
        graph = pruned_graph(plain, groups, counts)
        answer = device.read(files.write_variant(random_network(graph)), original, reading, stop)
        return _variant(counts, graph, units_of, answer)

    def in_time() -> bool:
        return clock() - started < maximum_seconds

    taken: list[_Variant] = []
    for counts in variant_counts(groups, max(variants, FEWEST_VARIANTS), seed, multiple=multiple, minimum=minimum):
        if len(taken) >= FEWEST_VARIANTS and not in_time():
            break
        taken.append(take(counts))
    taken = _steadied(taken, take, in_time)
    original_ms = statistics.median(variant.found.original_ms for variant in _quiet(taken))
    return Profile(
        table=_table(taken, original_ms, prior if known else None),
        variants=len(taken),
        seconds=clock() - started,
        original_ms=original_ms,
        smallest_ratio=taken[1].found.ratio,
        measured=tuple(_measured(variant, original_ms) for variant in taken),
        with_prior=known,
    )


def shares_of(graph: Graph, kernels: Sequence[Kernel], ms: float) -> tuple[Entry, ...]:
    """What each operator of one network took of its end-to-end latency `ms`, from a profile of it."""
    units = find_units(graph)
    times, unattributed = attribute(kernels, units, graph)
    profiled_ms = sum(time.ms for time in times) + unattributed.ms
    scale = ms / max(profiled_ms, ms)  # what a run takes beside its kernels is nobody's
    seen: dict[tuple[str, str], list[float]] = defaultdict(list)
    for unit, taken in zip(units, times, strict=True):
        seen[unit.operator, unit.shape].append(taken.ms * scale)
    return tuple(_entry(operator, shape, seen[operator, shape]) for operator, shape in sorted(seen))


def _variant(counts: Mapping[str, int], graph: Graph, units_of: UnitPlan, reading: Reading) -> _Variant:
    units = units_of.units(graph)
    times, unattributed = attribute(reading.kernels, units, graph)
    if not any(time.ms for time in times):
        raise MeasurementFailed(reading.conditions.runtime, "its profile names no operator of the network")
    return _Variant(counts, units, times, unattributed, reading, evaluated(reading))


def _steadied(
    taken: Sequence[_Variant], take: Callable[[Mapping[str, int]], _Variant], in_time: Callable[[], bool]
) -> list[_Variant]:
    """Takes the most uncertain ones again while there is time. A session that begins on a busy machine finds out only
    later what the reference takes without company, so everything is judged by the best of that."""
    taken = _judged(taken)
    doubtful = [index for index, variant in enumerate(taken) if variant.found.uncertainty > UNCERTAIN]
    for index in sorted(doubtful, key=lambda index: -taken[index].found.uncertainty):
        if not in_time():
            break
        *others, again = _judged([*taken, take(taken[index].counts)])
        if again.found.uncertainty < others[index].found.uncertainty:
            others[index] = again
        taken = others
    return list(taken)


def _judged(taken: Sequence[_Variant]) -> list[_Variant]:
    levels = [variant.reading.reference_level_ms for variant in taken]
    level_ms = min((level for level in levels if level is not None), default=None)
    return list(taken) if level_ms is None else [variant.judged_by(level_ms) for variant in taken]


def _quiet(taken: Sequence[_Variant]) -> Sequence[_Variant]:
    """Those of quiet moments, if they are half of all; the original first, as ever."""
    quiet = [variant for index, variant in enumerate(taken) if index == 0 or variant.found.quiet]
    return quiet if 2 * len(quiet) >= len(taken) else taken


def _measured(variant: _Variant, original_ms: float) -> MeasuredVariant:
    found = variant.found
    return MeasuredVariant(
        counts=variant.counts,
        ms=found.ratio * original_ms,
        low=found.ratio_low * original_ms,
        high=found.ratio_high * original_ms,
        original_ms=found.original_ms,
    )


def _table(taken: Sequence[_Variant], original_ms: float, prior: LookupTable | None) -> LookupTable:
    counted = _quiet(taken)
    seen: dict[tuple[str, str], list[float]] = defaultdict(list)
    gap_ms, cost_ms = _beside_the_kernels(counted)
    for variant in counted:
        for key, ms in _shares(variant, original_ms, gap_ms, cost_ms):
            seen[key].append(ms)
    entries = [_entry(operator, shape, seen[operator, shape]) for operator, shape in sorted(seen)]
    networks = [
        MeasuredNetwork(
            units=variant.units, ms=variant.found.ratio * original_ms, uncertainty=variant.found.uncertainty
        )
        for variant in taken
    ]
    networks[0] = replace(networks[0], ms=original_ms)  # measured beside itself, it is the unit of the others
    if prior is not None:
        entries = list(joined([*entries, *entries_today(prior, networks)]))
    return agreeing_table(entries, networks, taken[0].reading.conditions)


def _beside_the_kernels(taken: Sequence[_Variant]) -> tuple[float, float]:
    """What a run takes beside its kernels, and what the profiler adds to each kernel (ms); one of them is zero."""
    gap_ms = statistics.median(variant.found.ms - variant.profiled_ms for variant in taken)
    if gap_ms >= 0:
        return gap_ms, 0.0
    costs = (max(variant.profiled_ms - variant.found.ms, 0.0) / variant.kernels for variant in taken)
    return 0.0, statistics.median(costs)


def _shares(
    variant: _Variant, original_ms: float, gap_ms: float, cost_ms: float
) -> list[tuple[tuple[str, str], float]]:
    """Every unit's own part of the variant's drift-corrected latency."""

    def own(time: UnitTime) -> float:
        return max(time.ms - cost_ms * time.kernels, LEAST_SHARE * time.ms)

    times = [own(time) for time in variant.times]
    scale = variant.found.ratio * original_ms / (sum(times) + own(variant.unattributed) + gap_ms)
    return [((unit.operator, unit.shape), ms * scale) for unit, ms in zip(variant.units, times, strict=True)]


def _entry(operator: str, shape: str, observed: Sequence[float]) -> Entry:
    ms = max(statistics.median(observed), LEAST_MS)
    quarter, _, three_quarters = statistics.quantiles(observed, n=4) if len(observed) > 1 else (ms, ms, ms)
    return Entry(
        operator=operator, shape=shape, ms=ms, count=len(observed), spread=max(three_quarters - quarter, 0) / ms
    )
