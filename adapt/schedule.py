"""The resource reduction schedule: Con_j = max(Bud_j, Res_j - dR_ij). Source: NetAdapt, eq. 2 and section 4."""

import math
from collections.abc import Mapping, Sequence

from adapt.budget import Budget
from adapt.errors import ScheduleTooShort
from adapt.spec import Resource, Resources, Step

SMALLEST_STEP = 0.005
"""Of the original: what a resource falls by when it is below its aim but not certain to be within the budget."""


def tighten(
    budget: Budget,
    schedule: Mapping[Resource, Step],
    iteration: int,
    *,
    original: Resources,
    current: Resources,
    unmet: Sequence[Resource],
    asked_to_fall: Sequence[Resource],
) -> dict[Resource, float]:
    """Con_j, the upper limit of each budgeted resource for the proposals of `iteration`.

    A resource of `asked_to_fall` falls by its step, but no further than the budget's aim: overshooting throws
    accuracy away. The others must not rise: an unmet one stays within what it is, a met one within its limit.
    """
    limits: dict[Resource, float] = {}
    for name, limit in budget.limits.items():
        if name in asked_to_fall:
            limits[name] = max(budget.aim(name), current[name] - schedule[name].fraction(iteration) * original[name])
            if limits[name] >= current[name]:  # below the aim, but the measurement's interval reaches over the limit
                limits[name] = current[name] - SMALLEST_STEP * original[name]
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
