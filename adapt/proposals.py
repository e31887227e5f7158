"""Lines 4-10 of Algorithm 1: the constraint of an iteration, ChooseNumFilters and ChooseWhichFilters."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from adapt.budget import Budget
from adapt.errors import BudgetNotMet
from adapt.graph.network import Network
from adapt.graph.pruning import Kept
from adapt.importance import keep_largest, l2
from adapt.reach import Bundle, smaller_counts
from adapt.schedule import tighten
from adapt.spec import Resource, Resources, Settings

Predict = Callable[[Mapping[str, int]], Resources]
"""Channel counts by group -> what the candidate is predicted to need, calibrated to the current network."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """A count that a proposal may have, with its predicted resources."""

    filters: int
    predicted: Resources


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What ChooseNumFilters found: the count, and the next larger one that the rounding allows (it missed)."""

    option: Option
    next_larger: Option | None


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Where an iteration starts: counts and resources of Net_i, and every count that a bundle may have next.

    `current` holds the medians, `unmet` was judged by the upper ends of the intervals, furthest first.
    """

    bundles: Sequence[Bundle]
    counts: Mapping[str, int]
    current: Resources
    unmet: Sequence[Resource]
    settings: Settings
    predict: Predict
    _options: dict[str, list[Option]] = field(default_factory=dict, repr=False)  # predicted once per iteration

    def options(self, bundle: Bundle) -> list[Option]:
        """Every count of the rounding below the current one, largest first: latency is no steady function of it."""
        if bundle.id not in self._options:
            self._options[bundle.id] = [
                Option(filters=count, predicted=self.predict({**self.counts, **bundle.counts(count)}))
                for count in smaller_counts(bundle, self.counts[bundle.id], self.settings)
            ]
        return self._options[bundle.id]

    def furthest_to_fall(self, constraint: Resources) -> Resource:
        """Of the resources that `constraint` asks to fall the one furthest from its budget: the slope divides by it."""
        return next(name for name in self.unmet if constraint[name] < self.current[name])


def choose_num_filters(situation: Situation, bundle: Bundle, constraint: Resources) -> Choice | None:
    """The largest count of `bundle` with which the network is predicted to meet every limit of `constraint`.

    Source: NetAdapt (Yang et al., 2018), Algorithm 1, ChooseNumFilters. None when no count does.
    """
    next_larger = None
    for option in situation.options(bundle):
        if _meets(option.predicted, constraint):
            return Choice(option=option, next_larger=next_larger)
        next_larger = option
    return None


def choose_which_filters(network: Network, bundle: Bundle, kept: Kept, count: int) -> dict[str, tuple[int, ...]]:
    """Of each group the `count` filters of largest L2 norm, as ascending positions among its filters in `network`.

    Source: NetAdapt (Yang et al., 2018), section 3.3.
    """
    return {group.id: keep_largest(l2(group, network, kept[group.id]), count) for group in bundle.groups}


def choose_constraint(
    situation: Situation, budget: Budget, iteration: int, original: Resources
) -> dict[Resource, float]:
    """Con of `iteration`, loosened until enough groups can meet it.

    Every unmet resource is asked to fall by its step. When fewer than half of the groups can do that, only the one
    furthest from its budget must, and the others must not rise. When no group can, the step becomes the largest that
    a quarter of the groups can make, then that any can. Raises BudgetNotMet when no group can lower anything unmet.
    """

    def constraint(asked: Sequence[Resource]) -> dict[Resource, float]:
        return tighten(
            budget,
            situation.settings.schedule,
            iteration,
            original=original,
            current=situation.current,
            unmet=situation.unmet,
            asked_to_fall=asked,
        )

    def able(limits: Resources) -> int:
        return sum(choose_num_filters(situation, bundle, limits) is not None for bundle in situation.bundles)

    limits = constraint(situation.unmet)
    if len(situation.unmet) > 1 and able(limits) < len(situation.bundles) / 2:
        limits = constraint(situation.unmet[:1])
    if able(limits):
        return limits
    for resource in situation.unmet:
        reached = _smallest_step(situation, constraint((resource,)), resource)
        if reached is not None:
            return constraint((resource,)) | {resource: reached}
    name = situation.unmet[0]
    raise BudgetNotMet(name, budget.limits[name], situation.current[name])


def _smallest_step(situation: Situation, limits: Resources, resource: Resource) -> float | None:
    """The figure of `resource` that a quarter of the groups can reach, else that any can; None if nobody lowers it."""
    others = {name: limit for name, limit in limits.items() if name != resource}
    lowest = sorted(
        min(option.predicted[resource] for option in allowed)
        for bundle in situation.bundles
        if (allowed := [option for option in situation.options(bundle) if _meets(option.predicted, others)])
    )
    quarter = math.ceil(len(situation.bundles) / 4)
    for position in (quarter - 1, 0):
        if position < len(lowest) and lowest[position] < situation.current[resource]:
            return lowest[position]
    return None


def why_skipped(situation: Situation, bundle: Bundle, constraint: Resources) -> str:
    """The reason, in words, why `bundle` has no proposal under `constraint`."""
    options = situation.options(bundle)
    if not options:
        return f"{situation.counts[bundle.id]} filters are as few as the settings allow"
    smallest = options[-1]
    misses = [
        f"{name} {smallest.predicted[name]:.6g} > {limit:.6g}"
        for name, limit in constraint.items()
        if smallest.predicted[name] > limit
    ]
    if misses:
        return f"cannot meet the constraint alone: even {smallest.filters} filters are predicted at {', '.join(misses)}"
    return "no single count meets every limit of the constraint"


def _meets(predicted: Resources, limits: Resources) -> bool:
    return all(predicted[name] <= limit for name, limit in limits.items())
