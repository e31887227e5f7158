"""Lines 4-10 of Algorithm 1: the constraint of an iteration, ChooseNumFilters and ChooseWhichFilters."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from adapt.budget import Budget
from adapt.errors import BudgetNotMet
from adapt.importance import Subject, find_criterion, keep_largest
from adapt.reach import Bundle, counts_below, smaller_counts
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

    `current` holds the medians, `unmet` was judged by the `upper_ends` of the intervals, furthest first. `units` are
    those of the budgeted resources that are measured: they are no steady function of a count.
    """

    bundles: Sequence[Bundle]
    counts: Mapping[str, int]
    current: Resources
    upper_ends: Resources
    unmet: Sequence[Resource]
    units: Mapping[Resource, str]
    settings: Settings
    predict: Predict
    _options: dict[str, list[Option]] = field(default_factory=dict, repr=False)  # predicted once per iteration

    def options(self, bundle: Bundle) -> list[Option]:
        """Every count of the rounding below the current one that a proposal may have, largest first.

        Where none of them is below it on the staircase of what is measured, further ones down to the first that is:
        a search could not get down a wide step otherwise.
        """
        if bundle.id not in self._options:
            count = self.counts[bundle.id]
            options = [self._option(bundle, smaller) for smaller in smaller_counts(bundle, count, self.settings)]
            if options and not any(map(self.falls, options)):
                further = counts_below(bundle, options[-1].filters, self.settings)
                options += _through_first(self.falls, (self._option(bundle, smaller) for smaller in further))
            self._options[bundle.id] = options
        return self._options[bundle.id]

    def _option(self, bundle: Bundle, count: int) -> Option:
        return Option(filters=count, predicted=self.predict({**self.counts, **bundle.counts(count)}))

    def falls(self, option: Option) -> bool:
        """Whether every unmet resource that is measured is predicted strictly below what it is now."""
        return not self.stays(option)

    def stays(self, option: Option) -> Sequence[Resource]:
        """The unmet measured resources that `option` does not lower."""
        return [name for name in self.unmet if name in self.units and option.predicted[name] >= self.current[name]]

    def proposable(self, option: Option, limits: Resources) -> bool:
        """A candidate that is no faster than before is never proposed, whatever else it lowers."""
        return _meets(option.predicted, limits) and self.falls(option)

    def furthest_to_fall(self, constraint: Resources) -> Resource:
        """Of the resources that `constraint` asks to fall the one furthest from its budget: the slope divides by it."""
        return next(name for name in self.unmet if constraint[name] < self.current[name])


def choose_num_filters(situation: Situation, bundle: Bundle, constraint: Resources) -> Choice | None:
    """The largest count of `bundle` with which the network is predicted to meet every limit of `constraint`.

    Source: NetAdapt (Yang et al., 2018), Algorithm 1, ChooseNumFilters. None when no count does. A count at which
    something measured is above what it is at a larger count (the hardware likes the larger one better) is passed over
    where another one meets the constraint too.
    """
    passed_over: Choice | None = None
    next_larger = None
    best = {name: situation.current[name] for name in situation.units}
    for option in situation.options(bundle):
        if situation.proposable(option, constraint):
            choice = Choice(option=option, next_larger=next_larger)
            if all(option.predicted[name] <= best[name] for name in best):
                return choice
            passed_over = passed_over or choice
        best = {name: min(figure, option.predicted[name]) for name, figure in best.items()}
        next_larger = option
    return passed_over


def choose_which_filters(subject: Subject, bundle: Bundle, count: int, importance: str) -> dict[str, tuple[int, ...]]:
    """Of each group the `count` most important filters, as ascending positions among those that are left of it.

    Source: NetAdapt (Yang et al., 2018), section 3.3, where importance is the L2 norm.
    """
    criterion = find_criterion(importance)
    return {group.id: keep_largest(criterion(group, subject), count) for group in bundle.groups}


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
    upper = situation.upper_ends[name] if name in situation.units else None
    raise BudgetNotMet(name, budget.limits[name], situation.current[name], upper)


def _smallest_step(situation: Situation, limits: Resources, resource: Resource) -> float | None:
    """The figure of `resource` that a quarter of the groups can reach, else that any can; None if nobody lowers it."""
    others = {name: limit for name, limit in limits.items() if name != resource}
    lowest = sorted(
        min(option.predicted[resource] for option in allowed)
        for bundle in situation.bundles
        if (allowed := [option for option in situation.options(bundle) if situation.proposable(option, others)])
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
    if not any(map(situation.falls, options)):
        return _why_no_faster(situation, options)
    smallest = options[-1]
    misses = [
        f"{name} {smallest.predicted[name]:.6g} > {limit:.6g}"
        for name, limit in constraint.items()
        if smallest.predicted[name] > limit
    ]
    if misses:
        return f"cannot meet the constraint alone: even {smallest.filters} filters are predicted at {', '.join(misses)}"
    return "no single count meets every limit of the constraint"


def _why_no_faster(situation: Situation, options: Sequence[Option]) -> str:
    """Of the resource that none of them lowers, or that the fewest filters do not."""
    never = [name for name in situation.unmet if all(name in situation.stays(option) for option in options)]
    name = never[0] if never else situation.stays(options[-1])[0]
    least = min(options, key=lambda option: option.predicted[name])
    no_lower = "no faster" if name == "latency_ms" else f"no lower {name}"
    unit = situation.units[name]
    return (
        f"{no_lower}: {least.filters} filters are predicted at {least.predicted[name]:.4g} {unit}, "
        f"now {situation.current[name]:.4g} {unit}"
    )


def _through_first(found: Callable[[Option], bool], options: Iterable[Option]) -> Iterator[Option]:
    """Up to and with the first that is what is looked for; nothing when none is."""
    seen = []
    for option in options:
        seen.append(option)
        if found(option):
            yield from seen
            return


def _meets(predicted: Resources, limits: Resources) -> bool:
    return all(predicted[name] <= limit for name, limit in limits.items())
