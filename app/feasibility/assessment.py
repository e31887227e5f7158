"""Can a budget be met? From counted costs and from figures that are there already; nothing is trained or measured."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from adapt.budget import Asked, Budget, Share, resolve
from adapt.errors import BudgetUnreachable
from adapt.graph.costs import costs
from adapt.graph.network import Graph
from adapt.graph.pruning import pruned_graph
from adapt.latency.predictor import fit
from adapt.latency.table import LookupTable
from adapt.latency.whole_networks import WholeNetwork
from adapt.reach import bundles, least_counts
from adapt.schedule import check_reaches, estimate_iterations
from adapt.spec import RESOURCES, Resource, Resources, Settings, TrainingSpeed
from app.feasibility.duration import ImageCounts, estimate_seconds
from app.models.records import Structure

Basis = Literal["measured", "predicted"]
NOISE = 1.1
"""Absolute times drift between a profile and a job: closer to its limit than this, the job itself has to measure."""
RETRY_AFTER_S = 2
RETRY_AFTER_PROFILE_S = 10


@dataclass(frozen=True, kw_only=True)
class KnownLatency:
    """`fixed`: the table is all there is (a `table` target), and what it predicts counts. Otherwise `original` and
    `least`, the networks of `least_counts` for these very settings in their order, are as they were measured end to
    end; `least` is empty before all of them are."""

    table: LookupTable
    fixed: bool
    original: WholeNetwork | None = None
    least: tuple[WholeNetwork, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What a job's duration is estimated from. `pretrains`: an architecture that is trained first."""

    speed: TrainingSpeed
    images: ImageCounts
    pretrains: bool = False


@dataclass(frozen=True, kw_only=True)
class LatencyKnown:
    """In milliseconds. `measured` lies between `low` and `high`; a prediction never stands there."""

    predicted: float | None = None
    measured: float | None = None
    low: float | None = None
    high: float | None = None


_NO_LATENCY: Mapping[str, LatencyKnown] = {"original": LatencyKnown(), "smallest": LatencyKnown()}


@dataclass(frozen=True, kw_only=True)
class Feasibility:
    """API.md, Feasibility. `original`, `smallest` and `budget` are absolute figures by resource, None where unknown;
    `latency` are those of the latency with their intervals.

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
    latency: Mapping[str, LatencyKnown] = field(default_factory=lambda: _NO_LATENCY)
    certain: bool = False
    unreachable: BudgetUnreachable | None = None


def assess(
    structure: Structure, settings: Settings, asked: Asked, latency: KnownLatency | None, pace: Pace | None = None
) -> Feasibility:
    """Whether `asked` can be met, as far as `structure` (its groups found?) and `latency` say; and by `pace` when.

    Raises ScheduleTooShort for an explicit schedule that ends before the budget, TableDoesNotCover for a fixed table
    that lacks operators of the network. Takes well under a second.
    """
    original = costs(structure.graph).resources
    if structure.groups is None:
        _refuse_short_schedule(asked, original, settings)
        return _not_known(
            asked, original, {}, "the channel groups of the model are still being looked for", RETRY_AFTER_S
        )
    least = [pruned_graph(structure.graph, structure.groups, c) for c in least_counts(structure.groups, settings)]
    smallest = costs(least[0]).resources
    if latency is None:
        counted: Asked = {name: value for name, value in asked.items() if name != "latency_ms"}
        without = _judge(counted, original, smallest, settings)
        if "latency_ms" in asked and without.feasible is not False:
            _refuse_short_schedule(asked, original, settings)
            return _not_known(
                asked, original, smallest, "the model is still to be measured on this target", RETRY_AFTER_PROFILE_S
            )
        answer = without
    else:
        answers = [
            _judge(asked, dict(original), costs(graph).resources, settings, known, fixed=latency.fixed)
            for graph, known in zip(least, _latencies(structure, least, latency), strict=True)
        ]
        original["latency_ms"] = answers[0].original["latency_ms"] or 0.0
        answer = _best(answers)
    return _with_duration(answer, structure, settings, asked, original, pace)


def _judge(
    asked: Asked,
    original: dict[Resource, float],
    smallest: dict[Resource, float],
    settings: Settings,
    latency: Mapping[str, LatencyKnown] = _NO_LATENCY,
    *,
    fixed: bool = False,
) -> Feasibility:
    """By the upper ends of measured intervals, as the job itself will; it can be certain of a `fixed` latency only, or
    of a measured one that is far enough over its limit."""
    upper_original, upper_smallest = dict(original), dict(smallest)
    basis: Basis = "predicted"
    certain_from = 1.0 if fixed else math.inf
    for figures, upper, known in (
        (original, upper_original, latency["original"]),
        (smallest, upper_smallest, latency["smallest"]),
    ):
        if known.measured is not None and known.high is not None:
            basis, certain_from = "measured", NOISE
            figures["latency_ms"], upper["latency_ms"] = known.measured, known.high
        elif known.predicted is not None:
            basis, certain_from = "predicted", 1.0 if fixed else math.inf
            figures["latency_ms"] = upper["latency_ms"] = known.predicted
    budget = resolve(asked, original, upper_original)
    missed = budget.unmet(upper_smallest) if budget.unmet(upper_original) else ()
    unreachable: BudgetUnreachable | None = None
    iterations: int | None = None
    if missed:
        name = missed[0]
        upper_end = latency["smallest"].high if name == "latency_ms" else None
        unreachable = BudgetUnreachable(name, budget.limits[name], smallest[name], upper_end)
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
        latency=latency,
        # A count that is over its limit stays so, whatever a latency turns out to be.
        certain=any(name != "latency_ms" or smallest[name] > certain_from * budget.limits[name] for name in missed),
        unreachable=unreachable,
    )


def _with_duration(
    answer: Feasibility,
    structure: Structure,
    settings: Settings,
    asked: Asked,
    original: Mapping[Resource, float],
    pace: Pace | None,
) -> Feasibility:
    """The mult-adds that are left are taken to fall as the resource does that has to fall furthest."""
    if answer.iterations_estimate is None or pace is None:
        return answer
    left = min(1.0, *(limit / original[name] for name, limit in answer.budget.items() if limit is not None))
    seconds = estimate_seconds(
        settings,
        pace.images,
        pace.speed,
        iterations=answer.iterations_estimate,
        proposals=len(bundles(structure.groups or (), settings)),
        left=left,
        measures="latency_ms" in asked,
        pretrains=pace.pretrains,
    )
    return replace(answer, seconds_estimate=seconds)


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
    structure: Structure, least: Sequence[Graph], latency: KnownLatency
) -> Sequence[Mapping[str, LatencyKnown]]:
    """For each of the least networks: of the original and of it, measured, or predicted where it is not."""
    original = None if latency.original is None else _measured(latency.original)
    if original is not None and latency.least:
        return [{"original": original, "smallest": _measured(found)} for found in latency.least]
    predictor = fit(latency.table)
    original_ms = predictor.predict_ms(structure.graph)
    # The search scales predictions by the measured original too: a bias of the table then cancels.
    scale = 1.0 if latency.original is None else latency.original.ms / original_ms
    return [
        {
            "original": original or LatencyKnown(predicted=original_ms),
            "smallest": LatencyKnown(predicted=scale * predictor.predict_ms(graph)),
        }
        for graph in least
    ]


def _best(answers: Sequence[Feasibility]) -> Feasibility:
    """Of the least networks one that meets the budget, else the smallest where a count is over its limit (no other has
    less), else the fastest. A refusal is certain when it is for each of them."""
    smallest = answers[0]
    feasible = next((answer for answer in answers if answer.feasible), None)
    if feasible is not None:
        return feasible
    if smallest.unreachable is not None and smallest.unreachable.resource != "latency_ms":
        return smallest
    fastest = min(answers, key=lambda answer: answer.smallest["latency_ms"] or math.inf)
    return replace(fastest, certain=all(answer.certain for answer in answers))


def _measured(found: WholeNetwork) -> LatencyKnown:
    return LatencyKnown(measured=found.ms, low=found.low, high=found.high)


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
