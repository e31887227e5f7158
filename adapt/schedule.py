"""The resource reduction schedule: Con_j = max(Bud_j, Res_j - dR_ij). Source: NetAdapt, eq. 2 and section 4."""

import math
from collections.abc import Mapping

from adapt.budget import Budget
from adapt.errors import ScheduleTooShort
from adapt.spec import Resource, Resources, Step


def tighten(
    budget: Budget,
    schedule: Mapping[Resource, Step],
    iteration: int,
    *,
    original: Resources,
    current: Resources,
    asked_to_fall: tuple[Resource, ...],
) -> dict[Resource, float]:
    """The upper limit of each budgeted resource for the proposals of `iteration`.

    A resource of `asked_to_fall` falls by its step, but no further than the budget's aim (overshooting throws
    accuracy away). The others must not rise: an unmet one stays within what it is, a met one within its limit.
    A resource already below its aim that still counts as unmet (the interval of its measurement reaches over the
    limit) falls by half a per cent.
    """
    unmet = budget.unmet(current)
    limits: dict[Resource, float] = {}
    for name, limit in budget.limits.items():
        if name in asked_to_fall:
            stepped = current[name] - schedule[name].fraction(iteration) * original[name]
            nudge = current[name] - 0.005 * original[name]
            limits[name] = min(max(budget.aim(name), stepped), nudge) if stepped < current[name] else stepped
        else:
            limits[name] = current[name] if name in unmet else limit
    return limits


def check_reaches(asked: Budget, schedule: Mapping[Resource, Step], original: Resources) -> None:
    """Raises ScheduleTooShort when the steps of an explicit schedule sum up to less than the budget asks.

    The authors' own default schedule sums up to 0.625 of a resource of which 0.75 is asked, which shows only at the
    end of a search; here it shows before anything is trained. A step with a floor always arrives.
    """
    for name, limit in asked.limits.items():
        step = schedule[name]
        needed = 1 - limit / original[name]
        reachable = math.inf if step.floor > 0 or step.decay >= 1 else step.initial / (1 - step.decay)
        if needed > 0 and reachable < needed:
            # 5 % more than needed, since the last steps of a geometric series take for ever.
            decay = min(1.0, math.ceil(1000 * (1 - step.initial / (1.05 * needed))) / 1000)
            raise ScheduleTooShort(name, reachable, needed, step.initial, decay)


def estimate_iterations(asked: Budget, schedule: Mapping[Resource, Step], original: Resources) -> int:
    """How many iterations the schedule needs when every step is made as asked; the search may need fewer."""
    most = 0
    for name, limit in asked.limits.items():
        left, iteration = 1 - limit / original[name], 0
        while left > 1e-9 and iteration < 100_000:
            iteration += 1
            left -= schedule[name].fraction(iteration)
        most = max(most, iteration)
    return most
