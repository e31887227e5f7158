"""Can a budget be met? From counted costs and from figures that are there already; nothing is trained or measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from adapt.budget import Asked, Budget, Share, resolve
from adapt.errors import BudgetUnreachable
from adapt.graph.costs import costs
from adapt.graph.network import Graph
from adapt.graph.pruning import pruned_graph
from adapt.latency.predictor import fit
from adapt.latency.table import LookupTable
from adapt.reach import smallest_counts
from adapt.schedule import check_reaches, estimate_iterations
from adapt.spec import RESOURCES, Resource, Resources, Settings
from app.models.records import Structure

Basis = Literal["measured", "predicted"]
NOISE = 1.1
"""Absolute times drift between a profile and a job: closer to its limit than this, the job itself has to measure."""
RETRY_AFTER_S = 2
RETRY_AFTER_PROFILE_S = 10


@dataclass(frozen=True, kw_only=True)
class MeasuredOnce:
    """What a profile of the model on the target found end to end, in milliseconds. `smallest_ms` is that of the
    network with every prunable group at its minimum, for this rounding and this minimum."""

    original_ms: float
    smallest_ms: float
    round_channels_to: int
    min_channels: int


@dataclass(frozen=True, kw_only=True)
class KnownLatency:
    """`fixed`: the table is all there is (a `table` target), and what it predicts counts."""

    table: LookupTable
    fixed: bool
    measured: MeasuredOnce | None = None


@dataclass(frozen=True, kw_only=True)
class Feasibility:
    """API.md, Feasibility. `original`, `smallest` and `budget` are absolute figures by resource, None where unknown.

    `basis` says how the latency figures were come by; costs are counted, and nobody has run the smallest network, so
    without a latency budget it is "predicted". `certain`: a budget that is not feasible can be refused right away.
    """

    feasible: bool | None
    basis: Basis | None
    original: Mapping[Resource, float | None]
    smallest: Mapping[Resource, float | None]
    budget: Mapping[Resource, float | None]
    iterations_estimate: int | None
    seconds_estimate: float | None
    reason: str | None
    retry_after_seconds: int | None
    certain: bool = False
    unreachable: BudgetUnreachable | None = None


def assess(structure: Structure, settings: Settings, asked: Asked, latency: KnownLatency | None) -> Feasibility:
    """Whether `asked` can be met, as far as `structure` (its groups found?) and `latency` say.

    Raises ScheduleTooShort for an explicit schedule that ends before the budget, TableDoesNotCover for a fixed table
    that lacks operators of the network. Takes well under a second.
    """
    original = costs(structure.graph).resources
    if structure.groups is None:
        _refuse_short_schedule(asked, original, settings)
        return _not_known(
            asked, original, {}, "the channel groups of the model are still being looked for", RETRY_AFTER_S
        )
    small = pruned_graph(structure.graph, structure.groups, smallest_counts(structure.groups, settings))
    smallest = costs(small).resources
    counted: Asked = {name: value for name, value in asked.items() if name != "latency_ms"}
    basis: Basis = "predicted"
    certain_from = 1.0
    if latency is not None:
        original["latency_ms"], smallest["latency_ms"], basis = _latencies(structure, small, settings, latency)
        if not latency.fixed:
            certain_from = NOISE if basis == "measured" else math.inf
    elif "latency_ms" in asked:
        without = _judge(counted, original, smallest, settings, basis, certain_from)
        if without.feasible is False:
            return without
        _refuse_short_schedule(asked, original, settings)
        return _not_known(
            asked, original, smallest, "the model's latency on this target is not known yet", RETRY_AFTER_PROFILE_S
        )
    return _judge(asked, original, smallest, settings, basis, certain_from)


def _judge(
    asked: Asked,
    original: Mapping[Resource, float],
    smallest: Mapping[Resource, float],
    settings: Settings,
    basis: Basis,
    certain_from: float,
) -> Feasibility:
    """`certain_from`: how many times over its limit a latency has to be before the answer is beyond doubt."""
    budget = resolve(asked, original, original)
    missed = budget.unmet(smallest) if budget.unmet(original) else ()
    unreachable: BudgetUnreachable | None = None
    iterations: int | None = None
    if missed:
        unreachable = BudgetUnreachable(missed[0], budget.limits[missed[0]], smallest[missed[0]])
    else:
        iterations = _iterations(budget, settings, original)
    return Feasibility(
        feasible=unreachable is None,
        basis=basis,
        original=_figures(original),
        smallest=_figures(smallest),
        budget=dict(budget.limits),
        iterations_estimate=iterations,
        seconds_estimate=None,
        reason=None if unreachable is None else str(unreachable),
        retry_after_seconds=None,
        # A count that is over its limit stays so, whatever a latency turns out to be.
        certain=any(name != "latency_ms" or smallest[name] > certain_from * budget.limits[name] for name in missed),
        unreachable=unreachable,
    )


def _iterations(budget: Budget, settings: Settings, original: Resources) -> int:
    if not budget.unmet(original):
        return 0
    check_reaches(budget, settings.schedule, original)
    return estimate_iterations(budget, settings.schedule, original)


def _refuse_short_schedule(asked: Asked, original: Resources, settings: Settings) -> None:
    """As far as it shows while figures are missing. A schedule is in shares of the original, so for a budget that is
    one as well any figure of the original will do. Raises ScheduleTooShort."""
    figures: dict[Resource, float] = {"latency_ms": 1.0, **original}
    known = {name: value for name, value in asked.items() if name in original or isinstance(value, Share)}
    check_reaches(resolve(known, figures, figures), settings.schedule, figures)


def _latencies(
    structure: Structure, small: Graph, settings: Settings, latency: KnownLatency
) -> tuple[float, float, Basis]:
    """Milliseconds of the original and of the smallest network, and how they were come by."""
    found = latency.measured
    if found is not None and _timed(structure, found) == small:
        return found.original_ms, found.smallest_ms, "measured"
    predictor = fit(latency.table)
    original_ms, smallest_ms = predictor.predict_ms(structure.graph), predictor.predict_ms(small)
    # The search scales predictions by the measured original too: a bias of the table then cancels.
    scale = 1.0 if found is None else found.original_ms / original_ms
    return original_ms * scale, smallest_ms * scale, "predicted"


def _timed(structure: Structure, found: MeasuredOnce) -> Graph:
    """The smallest network that a profile ran."""
    bounds = Settings(round_channels_to=found.round_channels_to, min_channels=found.min_channels)
    groups = structure.groups or ()
    return pruned_graph(structure.graph, groups, smallest_counts(groups, bounds))


def _not_known(asked: Asked, original: Resources, smallest: Resources, reason: str, retry_after_s: int) -> Feasibility:
    return Feasibility(
        feasible=None,
        basis=None,
        original=_figures(original),
        smallest=_figures(smallest),
        budget={name: _limit(value, original.get(name)) for name, value in asked.items()},
        iterations_estimate=None,
        seconds_estimate=None,
        reason=reason,
        retry_after_seconds=retry_after_s,
    )


def _limit(value: float | Share, original: float | None) -> float | None:
    if isinstance(value, Share):
        return None if original is None else original * value.fraction
    return float(value)


def _figures(known: Resources) -> dict[Resource, float | None]:
    """All four resources; what is not known is None, never NaN."""
    return {name: _finite(known.get(name)) for name in RESOURCES}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
