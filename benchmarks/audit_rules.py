"""What must hold of every finished search, re-derived from what REST says about it; knows nothing of `adapt`.

Each rule yields its violations in words. Jobs with one budgeted resource only: the rule that ranks several is the
search's own business, and an audit that copied it would prove nothing.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

Json = Mapping[str, Any]
CLOSE = 1e-9
LATENCY_MARGIN = 0.02  # how far below a measured limit the search may aim
SMALLEST_STEP = 0.005  # of the original


@dataclass(frozen=True, kw_only=True)
class Record:
    """One finished job, as its listings tell it."""

    job: Json
    model: Json
    iterations: Sequence[Json]
    proposals: Sequence[Json]
    checkpoints: Sequence[Json]
    events: Sequence[Json]

    @property
    def resource(self) -> str:
        (resource,) = self.job["budget"]
        return str(resource)

    @property
    def prunable(self) -> dict[str, int]:
        """Channels of the original by group."""
        return {group["id"]: group["channels"] for group in self.model["groups"] if group["prunable"]}

    @property
    def together(self) -> dict[str, list[Json]]:
        """What the settings let the search shrink: the first group of each proposal -> all groups of it."""
        found: dict[str, list[Json]] = {}
        first_of_size: dict[tuple[int, int], str] = {}
        for group in self.model["groups"]:
            if group["prunable"] and _is_chosen(group, self.job["settings"]):
                first = group["id"]
                if self.job["settings"].get("proposals") == "paper" and group["kind"] == "bottleneck":
                    first = first_of_size.setdefault((group["channels"], _filters_each(group)), first)
                found.setdefault(first, []).append(group)
        return found

    def of_iteration(self, number: int) -> list[Json]:
        return [proposal for proposal in self.proposals if proposal["iteration"] == number]

    def evaluated(self) -> list[Json]:
        return [proposal for proposal in self.proposals if proposal["state"] == "evaluated"]

    def raced_out(self) -> list[Json]:
        return [proposal for proposal in self.proposals if proposal["state"] == "raced-out"]

    @property
    def races(self) -> bool:
        return bool(self.job["settings"].get("search") == "racing")

    def counts_before(self) -> dict[int, dict[str, int]]:
        """Filters by group before each iteration, from the picks alone; key n+1 is what the search ended with."""
        counts, found = dict(self.prunable), {}
        for iteration in self.iterations:
            found[iteration["iteration"]] = dict(counts)
            for proposal in self.of_iteration(iteration["iteration"]):
                if proposal["picked"]:
                    counts |= dict.fromkeys(_kept(proposal), int(proposal["filters_after"]))
        return {**found, len(self.iterations) + 1: counts}


def violations(record: Record) -> list[str]:
    return [text for rule in RULES for text in rule(record)]


def iterations_are_gapless_and_chained(record: Record) -> Iterator[str]:
    numbers = [iteration["iteration"] for iteration in record.iterations]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"iterations are numbered {numbers}"
    for before, after in pairwise(record.iterations):
        for resource, value in before["after"].items():
            if resource == "latency_ms" and after["iteration"] in _taken_up_again(record):
                continue  # measured once more after a fine-tune that came out over the budget
            if not math.isclose(value, after["before"][resource], rel_tol=CLOSE):
                yield f"iteration {after['iteration']} does not begin where the one before it ended ({resource})"


def events_are_gapless(record: Record) -> Iterator[str]:
    numbers = [event["id"] for event in record.events]
    if numbers != list(range(1, len(numbers) + 1)):
        yield "the event numbers have gaps"


def one_proposal_per_group_and_iteration(record: Record) -> Iterator[str]:
    together = {first: [group["id"] for group in groups] for first, groups in record.together.items()}
    for iteration in record.iterations:
        groups = sorted(proposal["group"] for proposal in record.of_iteration(iteration["iteration"]))
        if groups != sorted(together):
            yield f"iteration {iteration['iteration']} has proposals for {groups}, prunable are {sorted(together)}"
    for proposal in record.proposals:
        if list(_kept(proposal)) != together.get(proposal["group"]):
            yield f"{_name(proposal)} shrinks {list(_kept(proposal))}, its group is one of {together}"
        known = ("evaluated", "skipped", "failed", *(["raced-out"] if record.races else []))
        if proposal["state"] not in known:
            yield f"{_name(proposal)} is {proposal['state']}"
        if not proposal["picked"] and not proposal["reason"]:
            yield f"{_name(proposal)} was not picked, and no reason is given"


def every_count_follows_from_the_picks(record: Record) -> Iterator[str]:
    counts = record.counts_before()
    for proposal in record.proposals:
        if proposal["filters_before"] != counts.get(proposal["iteration"], {}).get(proposal["group"]):
            yield f"{_name(proposal)} begins with {proposal['filters_before']} filters, the picks left another number"
    last = len(record.iterations)
    for checkpoint in record.checkpoints:
        if checkpoint["kind"] == "uniform":  # thinned at once, which no pick says anything about
            continue
        wanted = counts.get(
            1 + {"original": 0, "final": last}.get(checkpoint["kind"], checkpoint["iteration"] or 0), {}
        )
        held = {group: count for group, count in checkpoint["filters"].items() if group in record.prunable}
        if held != wanted:
            yield f"checkpoint {checkpoint['checkpoint']} has other filters than the picks left"


def every_count_is_the_largest_that_meets_the_constraint(record: Record) -> Iterator[str]:
    settings = record.job["settings"] | (record.job.get("effective") or {})
    constraints = {iteration["iteration"]: iteration["constraint"] for iteration in record.iterations}
    for proposal in [*record.evaluated(), *record.raced_out()]:
        constraint = constraints.get(proposal["iteration"], {})
        before, after = proposal["filters_before"], proposal["filters_after"]
        groups = record.together.get(proposal["group"], [])
        step = max((_step(group, settings) for group in groups), default=1)
        least = max((_fewest(group, settings) for group in groups), default=1.0)
        largest = (before - 1) // step * step
        at_once = min(before * (1 - settings.get("largest_share", 1.0)), largest)
        if not (max(least, at_once) - CLOSE <= after < before and after % step == 0):
            yield f"{_name(proposal)}: {before} -> {after} filters is no step of the rounding"
        if not _meets(proposal["predicted"], constraint):
            yield f"{_name(proposal)} misses its constraint"
        larger = proposal["next_larger"]
        if larger is None:
            if after != largest:
                yield f"{_name(proposal)}: {largest} filters were never looked at"
        elif larger["filters"] != after + step:
            yield f"{_name(proposal)}: the next larger count is {after + step}, not {larger['filters']}"
        elif _meets(larger["predicted"], constraint):
            yield f"{_name(proposal)}: {larger['filters']} filters would have met the constraint too"


def the_constraint_follows_the_schedule(record: Record) -> Iterator[str]:
    """Con = max(aim, Res - dR); looser only when no group could follow, and then it is what one of them reaches."""
    resource, settings = record.resource, record.job["settings"]
    schedule = settings["schedule"][resource]
    limit = record.job["limits"][resource]
    original = _value(record.job["original"], resource)
    margin = LATENCY_MARGIN if resource == "latency_ms" else 0.0
    for iteration in record.iterations:
        number, before = iteration["iteration"], iteration["before"][resource]
        fraction = max(schedule["initial"] * schedule["decay"] ** (number - 1), schedule.get("floor", 0.0))
        scheduled = max(limit * (1 - margin), before - fraction * original)
        if scheduled >= before:
            scheduled = before - SMALLEST_STEP * original
        given = iteration["constraint"][resource]
        if given >= before:
            yield f"iteration {number} asks for no reduction of {resource}"
        reached = [each["predicted"][resource] for each in record.of_iteration(number) if each["predicted"]]
        loosened = given > scheduled and any(math.isclose(given, value, rel_tol=1e-6) for value in reached)
        if not math.isclose(given, scheduled, rel_tol=1e-6) and not loosened:
            yield f"iteration {number} asks for {resource} {given:.6g}, its schedule says {scheduled:.6g}"


def every_proposal_was_trained(record: Record) -> Iterator[str]:
    steps = record.job["settings"]["short_term_steps"]
    for proposal in record.evaluated():
        if proposal["steps"] != steps or steps <= 0:
            yield f"{_name(proposal)} was trained for {proposal['steps']} steps, {steps} are set"


def the_race_is_told_to_the_end(record: Record) -> Iterator[str]:
    """Who left, where and after how many steps; at each rung at least half of those that were in it, unless so few were
    left that they might be picked together; a group that rests is let in again."""
    if not record.races:
        return
    race, steps = record.job["settings"]["race"], record.job["settings"]["short_term_steps"]
    ends = sorted({math.ceil(steps / share) for share in (8, 4, 2)} - {steps})
    sat_out: dict[str, int] = {}
    for iteration in record.iterations:
        entered = [each for each in record.of_iteration(iteration["iteration"]) if each["state"] != "skipped"]
        resting = {each["group"] for each in entered if each["rung"] == 0}
        for proposal in [each for each in entered if each["state"] == "raced-out"]:
            rung = proposal["rung"]
            if rung not in range(len(ends) + 1) or proposal["steps"] != [0, *ends][rung]:
                yield f"{_name(proposal)} left at rung {rung} after {proposal['steps']} steps, the rungs are {ends}"
            if (proposal["behind"] is None) != (rung == 0):
                yield f"{_name(proposal)} left at rung {rung}, {proposal['behind']} behind the best"
        sat_out = {group: sat_out.get(group, 0) + 1 for group in resting}
        for group in [group for group, count in sat_out.items() if count > race["rest"]]:
            yield f"{group} was not let in for {sat_out[group]} iterations up to {iteration['iteration']}"
        racing = len(entered) - len(resting)
        for rung in range(1, len(ends) + 1):
            left = sum(each["rung"] == rung for each in entered)
            failed = sum(each["state"] == "failed" for each in entered)
            if racing - left - failed > max(math.ceil(racing / 2), race["picks"]):
                yield f"iteration {iteration['iteration']}, rung {rung}: {left} of {racing} left the race"
            racing -= left


def kept_filters_are_whole(record: Record) -> Iterator[str]:
    for proposal in [*record.evaluated(), *record.raced_out()]:
        for group, kept in _kept(proposal).items():
            inside = all(0 <= index < proposal["filters_before"] for index in kept)
            if len(kept) != proposal["filters_after"] or kept != sorted(set(kept)) or not inside:
                count = proposal["filters_after"]
                yield f"{_name(proposal)} keeps {len(kept)} filters of {group} that are not {count} of its own"


def deltas_are_against_the_control(record: Record) -> Iterator[str]:
    """dAcc against the control; slope = dAcc / relative reduction of the budgeted resource."""
    for iteration in record.iterations:
        for proposal in record.of_iteration(iteration["iteration"]):
            if proposal["state"] != "evaluated":
                continue
            delta = proposal["accuracy"] - iteration["control"]["accuracy"]
            if not math.isclose(proposal["delta_accuracy"], delta, abs_tol=CLOSE):
                yield f"{_name(proposal)}: delta_accuracy {proposal['delta_accuracy']}, the figures give {delta}"
            slope = delta / _reduction(record, iteration, proposal)
            if not math.isclose(proposal["slope"], slope, rel_tol=1e-6, abs_tol=CLOSE):
                yield f"{_name(proposal)}: slope {proposal['slope']}, the figures give {slope}"


def the_pick_is_the_rules_best(record: Record) -> Iterator[str]:
    """Ties go to the lower hold-out loss, the larger reduction, the group's id. What was judged again decides alone. A
    race may pick several: the best of those that came to the end, and others that did."""
    for iteration in record.iterations:
        evaluated = [each for each in record.of_iteration(iteration["iteration"]) if each["state"] == "evaluated"]
        if not evaluated:
            yield f"iteration {iteration['iteration']} picked {iteration['picked']} and evaluated nothing"
            continue
        finalists = [each | each["judged_again"] for each in evaluated if each.get("judged_again")]
        if finalists and record.job["settings"]["pick"] == "best-slope":
            continue  # the control's score on more images, which slopes are taken against, is not published
        ranked = [
            (-_worth(record, each), each["loss"], -_reduction(record, iteration, each), each["group"], each["id"])
            for each in finalists or evaluated
        ]
        best = min(ranked)[-1]
        marked = [each["id"] for each in record.of_iteration(iteration["iteration"]) if each["picked"]]
        most = record.job["settings"]["race"]["picks"] if record.races else 1
        others = {each["id"] for each in evaluated}
        if not (iteration["picked"] == marked and best in marked and len(marked) <= most and others >= set(marked)):
            yield f"iteration {iteration['iteration']} picked {iteration['picked']}, the rule's best is {best}"


def the_search_stopped_when_and_only_when_met(record: Record) -> Iterator[str]:
    resource, limit = record.resource, record.job["limits"][record.resource]
    result = record.job["result"]
    final = result["latency_ms"]["high"] if resource == "latency_ms" else result[resource]
    if not final <= limit:
        yield f"the result's {resource} is {final}, the limit {limit}"
    for iteration in record.iterations:
        # Of a latency the upper end of the interval decides, so a median just below the limit may be unmet.
        slack = 1 - 2 * LATENCY_MARGIN if resource == "latency_ms" else 1.0
        if iteration["before"][resource] <= limit * slack:
            yield f"iteration {iteration['iteration']} began although the budget was met"


RULES: tuple[Callable[[Record], Iterator[str]], ...] = (
    iterations_are_gapless_and_chained,
    events_are_gapless,
    one_proposal_per_group_and_iteration,
    every_count_follows_from_the_picks,
    every_count_is_the_largest_that_meets_the_constraint,
    the_constraint_follows_the_schedule,
    every_proposal_was_trained,
    the_race_is_told_to_the_end,
    kept_filters_are_whole,
    deltas_are_against_the_control,
    the_pick_is_the_rules_best,
    the_search_stopped_when_and_only_when_met,
)


def _taken_up_again(record: Record) -> set[int]:
    """Iterations before which the search said something: they may begin with a fresh measurement."""
    found, spoken = set(), False
    for event in record.events:
        if event["event"] == "iteration" and event["data"]["after"] is None:
            found |= {event["data"]["iteration"]} if spoken else set()
        spoken = spoken and event["event"] != "iteration"  # what was said within an iteration is about its proposals
        spoken = spoken or event["event"] == "message"
    return found


def _is_chosen(group: Json, settings: Json) -> bool:
    include, exclude = settings.get("include") or ["*"], settings.get("exclude") or []
    of_the_paper = settings.get("proposals") != "paper" or group["kind"] in ("expansion", "bottleneck")
    return _matches(group, include) and not _matches(group, exclude) and of_the_paper


def _matches(group: Json, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(layer, pattern) for layer in group["layers"] for pattern in patterns)


def _filters_each(group: Json) -> int:
    return int(group.get("filters_each") or 1)


def _step(group: Json, settings: Json) -> int:
    """Of the rounding, in channels of the group."""
    rounding = int(settings["round_channels_to"])
    return rounding // math.gcd(rounding, _filters_each(group))


def _fewest(group: Json, settings: Json) -> float:
    """Channels that must stay: by the minimum and by the largest share removed."""
    own = [limits for pattern, limits in settings.get("group_limits", {}).items() if _matches(group, [pattern])]
    minima = [limits["min_channels"] for limits in own if limits.get("min_channels") is not None]
    shares = [limits["max_removed"] for limits in own if limits.get("max_removed") is not None]
    minimum = max(minima, default=settings["min_channels"]) / _filters_each(group)
    return float(max(minimum, group["channels"] * (1 - min(shares, default=settings.get("max_removed", 1.0)))))


def _kept(proposal: Json) -> dict[str, Any]:
    """What each group of the proposal keeps."""
    return {proposal["group"]: proposal["kept"], **proposal.get("further", {})}


def _meets(predicted: Json, constraint: Json) -> bool:
    return all(predicted[resource] <= limit for resource, limit in constraint.items())


def _worth(record: Record, proposal: Json) -> float:
    """What the rule compares: accuracy, slope, or MnasNet's ACC x (LAT / T)^w."""
    settings = record.job["settings"]
    if settings["pick"] != "mnasnet-reward":
        return float(proposal[{"highest-accuracy": "accuracy", "best-slope": "slope"}[settings["pick"]]])
    share = proposal["predicted"][record.resource] / record.job["limits"][record.resource]
    return float(proposal["accuracy"] * share ** settings["reward"]["alpha" if share <= 1 else "beta"])


def _reduction(record: Record, iteration: Json, proposal: Json) -> float:
    before = iteration["before"][record.resource]
    return float((before - proposal["predicted"][record.resource]) / before)


def _value(figures: Json, resource: str) -> float:
    value = figures[resource]
    return float(value["measured"] if resource == "latency_ms" else value)


def _name(proposal: Json) -> str:
    return f"proposal {proposal['id']} (iteration {proposal['iteration']}, {proposal['group']})"
