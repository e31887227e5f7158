"""Which picks of a search a family trains to the end, and for which budget each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapt.budget import parse_budget, resolve
from adapt.spec import RESOURCES, Resources
from app.jobs.errors import WrongState
from app.jobs.records import Checkpoint, Document, Figures, Job
from app.jobs.schemas import BudgetIn, FamilyIn
from app.json_body import InvalidFields

SHARES = (0.25, 0.5, 0.75)
"""Of the iterations: where the picks lie that a family is made of when nobody says which."""


@dataclass(frozen=True, kw_only=True)
class Member:
    iteration: int
    budget: Document


def choose_members(before: Job, picks: Sequence[Checkpoint], asked: FamilyIn) -> list[Member]:
    """Of the `picks` of the job `before`, ascending: those asked for, those for the budgets asked for, or some of
    them spread over the search. Raises WrongState where there is none yet, InvalidFields."""
    if not picks:
        raise WrongState(before.id, before.state, "made a family of", "it has no iteration whose pick could be trained")
    if asked.iterations is not None and asked.budgets is not None:
        raise InvalidFields([{"pointer": "/budgets", "detail": "give iterations or budgets, not both"}])
    if asked.budgets is not None:
        return list(_by_budgets(before, picks, asked.budgets))
    by_iteration = {pick.iteration: pick for pick in picks}
    iterations = spread(len(picks)) if asked.iterations is None else asked.iterations
    return list(_by_iterations(before, by_iteration, iterations))


def spread(iterations: int) -> list[int]:
    """A quarter, half and three quarters of the way; fewer where these are the same iteration."""
    return sorted({max(1, round(share * iterations)) for share in SHARES})


def _by_iterations(before: Job, picks: Mapping[int, Checkpoint], asked: Sequence[int]) -> Iterator[Member]:
    """The budget of each is what its pick was found to be within, in the resources of the job's own budget."""
    for place, iteration in enumerate(asked):
        if iteration not in picks:
            detail = f"job {before.id} has no pick of iteration {iteration}; there are 1 to {max(picks)}"
            raise InvalidFields([{"pointer": f"/iterations/{place}", "detail": detail}])
        within = within_of(picks[iteration].figures)
        yield Member(iteration=iteration, budget={name: within[name] for name in before.budget})


def _by_budgets(before: Job, picks: Sequence[Checkpoint], asked: Sequence[BudgetIn | float | str]) -> Iterator[Member]:
    """The first pick within each, which has lost least."""
    original = {} if before.original is None else within_of(before.original, upper=False)
    for place, value in enumerate(asked):
        pointer = f"/budgets/{place}"
        budget = _named(before, value, pointer)
        unknown = [name for name in budget if name not in original]
        if unknown:
            raise InvalidFields([{"pointer": f"{pointer}/{unknown[0]}", "detail": "was not measured in this job"}])
        limits = resolve(parse_budget(budget), original, original).limits
        if _meets(original, limits):
            raise InvalidFields([{"pointer": pointer, "detail": "the original network is within it already"}])
        found = next((pick for pick in picks if _meets(within_of(pick.figures), limits)), None)
        if found is None:
            raise InvalidFields([{"pointer": pointer, "detail": _none_within(before, picks, limits)}])
        yield Member(iteration=found.iteration, budget=budget)


def _named(before: Job, value: BudgetIn | float | str, pointer: str) -> dict[str, float | str]:
    """A bare figure is of the one resource that the job has a budget for."""
    if isinstance(value, BudgetIn):
        return value.as_asked()
    if len(before.budget) != 1:
        detail = f'say of which resource, as {{"latency_ms": ...}}: job {before.id} has {len(before.budget)} budgets'
        raise InvalidFields([{"pointer": pointer, "detail": detail}])
    return dict.fromkeys(before.budget, value)


def within_of(figures: Figures, *, upper: bool = True) -> dict[str, Any]:
    """What a network is known to be within: of a measured latency the upper end of the interval, unless the median is
    asked for; what is unknown is left out."""
    latency = figures.latency_ms
    measured = latency.high if upper and latency.high is not None else latency.measured
    known = {
        "latency_ms": latency.predicted if measured is None else measured,
        "macs": figures.macs,
        "params": figures.params,
        "memory_bytes": figures.memory_bytes,
    }
    return {name: known[name] for name in RESOURCES if known[name] is not None}


def _meets(within: Mapping[str, float], limits: Resources) -> bool:
    return all(name in within and within[name] <= limit for name, limit in limits.items())


def _none_within(before: Job, picks: Sequence[Checkpoint], limits: Resources) -> str:
    last = within_of(picks[-1].figures)
    over = ", ".join(
        f"{name} {last[name]:.6g} where {limit:.6g} is asked"
        for name, limit in limits.items()
        if name in last and last[name] > limit
    )
    return (
        f"no pick of job {before.id} is within it; the last one, of iteration {picks[-1].iteration}, has "
        f"{over or 'other figures'}: extend the job to go on from there"
    )
