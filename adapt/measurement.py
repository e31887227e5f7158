"""TakeEmpiricalMeasurement, and what follows from it: the budget in figures, and whether it can be met at all."""

from collections.abc import Generator, Mapping
from dataclasses import replace

from adapt.budget import Budget, resolve
from adapt.errors import BudgetUnreachable, OriginalAccuracyTooLow
from adapt.events import (
    BudgetResolved,
    Event,
    Latency,
    Measured,
    Measurement,
    Message,
    OriginalEvaluated,
    Phase,
    PhaseChanged,
)
from adapt.graph.costs import costs
from adapt.graph.network import Network
from adapt.graph.pruning import all_kept, prune, pruned_graph
from adapt.layer_patterns import check_patterns
from adapt.proposals import Predict
from adapt.reach import least_counts
from adapt.schedule import check_reaches
from adapt.search import Current, Job, Meter, Progress, Reached
from adapt.spec import Resource, Resources

MARGIN_OVER_CHANCE = 1.5
"""An original at or below this multiple of chance does not classify the data set: nothing can be learned from it."""
LEAST = ("smallest", "smallest-blocks")
"""Keys of what is measured of `least_counts`."""


def begin(job: Job, progress: Progress) -> Generator[Event, None, Current]:
    """Lines 1-2 of Algorithm 1: the original with its accuracy and resources.

    Raises OriginalAccuracyTooLow, NoSuchLayer.
    """
    yield PhaseChanged(phase="checking")
    check_patterns(job.original.graph, job.settings)
    scores = progress.original
    if scores is None:
        scores = job.trainer.score_original(job.original)
        yield scores
    if scores.holdout.accuracy <= MARGIN_OVER_CHANCE / job.classes and not job.settings.allow_low_accuracy:
        raise OriginalAccuracyTooLow(scores.holdout.accuracy, 1 / job.classes)
    return (yield from take_empirical_measurement(job, _original(job, scores), report=True))


def network_to_go_on_from(
    job: Job, progress: Progress, original: Current, budget: Budget
) -> Generator[Event, None, Current]:
    """The original, or where an earlier run or another job ended; and the learning rate that its last control left."""
    original = replace(original, learning_rate=progress.learning_rate or original.learning_rate)
    if progress.network is None or progress.kept is None or progress.holdout is None:
        return original
    net = replace(
        original,
        iteration=progress.iteration,
        network=progress.network,
        kept=progress.kept,
        holdout=progress.holdout,
    )
    key = None if progress.iteration else "start"
    return (yield from take_empirical_measurement(job, net, budget=budget, key=key))


def result_of_before(job: Job, reached: Reached, original: Current, budget: Budget) -> Generator[Event, None, Current]:
    """The result that an earlier run of the job has found, with the figures that it was measured at then."""
    net = replace(
        original,
        iteration=reached.iteration,
        network=reached.network,
        kept=reached.kept,
        holdout=reached.holdout,
    )
    return (yield from take_final_measurement(job, net, budget))


def take_final_measurement(job: Job, net: Current, budget: Budget) -> Generator[Event, None, Current]:
    """Of the result, as it is reported."""
    key = f"final-{net.iteration}"
    return (yield from take_empirical_measurement(job, net, budget=budget, key=key, report=True, phase="verifying"))


def take_empirical_measurement(
    job: Job,
    net: Current,
    *,
    budget: Budget | None = None,
    key: str | None = None,
    report: bool = False,
    phase: Phase = "measuring",
) -> Generator[Event, None, Current]:
    """`net` with its Res: costs from the graph, and measured, the whole network, what else the budget asks for.

    `report` measures the rest without a budget for it too: it is shown, and no decision rests on it. Where a figure
    cannot be told to be within the `budget` or not, it is measured once more, longer, before a decision rests on it.
    """
    key = key or str(net.iteration)
    resources = costs(net.network.graph).resources
    figures: dict[Resource, Measurement] = {}
    for name, meter in job.meters.items():
        if name in job.asked or report:
            yield PhaseChanged(phase=phase)
            figures[name] = yield from _measured(meter, name, key, net.network, budget)
            if name in job.asked:
                resources[name] = figures[name].value
    return replace(net, resources=resources, figures=figures)


def _measured(
    meter: Meter, name: Resource, key: str, network: Network, budget: Budget | None
) -> Generator[Event, None, Measurement]:
    figure = meter.measure(key, network)
    yield Measured(key=key, resource=name, figure=figure)
    if isinstance(figure, Latency) and not figure.quiet:
        yield Message(
            text=f"{name}: the device was busy with something else all the while ({figure.disturbed:.0%} of the "
            f"measurement): {figure.ms:.4g} ms lie between {figure.low:.4g} and {figure.high:.4g}"
        )
    limit = None if budget is None else budget.limits.get(name)
    if limit is None or not figure.value <= limit < figure.high:
        return figure
    yield Message(
        text=f"{name}: {figure.value:.4g} {meter.unit} is within the {limit:.4g} asked, but the interval reaches up to "
        f"{figure.high:.4g}: measured again, longer"
    )
    figure = meter.measure(f"{key}-again", network, "longer")
    yield Measured(key=f"{key}-again", resource=name, figure=figure)
    return figure


def resolved_budget(job: Job, original: Current) -> Generator[Event, None, Budget]:
    """The budget in absolute figures, told."""
    margins = {name: meter.margin for name, meter in job.meters.items()}
    budget = resolve(job.asked, original.resources, original.upper_ends, margins)
    yield BudgetResolved(original=original.resources, limits=budget.limits)
    return budget


def check_reachable(job: Job, original: Current) -> Generator[Event, None, Budget]:
    """The budget in absolute figures. Says before the first iteration whether it can be met, and by how much not.

    The smallest networks are measured, not extrapolated. Raises ScheduleTooShort, BudgetUnreachable.
    """
    budget = yield from resolved_budget(job, original)
    if not budget.unmet(original.upper_ends):
        yield Message(text="the original network is within the budget already: nothing is cut")
        return budget
    check_reaches(budget, job.settings.schedule, original.resources)
    yield from _check_least(job, original, budget)
    return budget


def _check_least(job: Job, original: Current, budget: Budget) -> Generator[Event, None, None]:
    """One of the least networks has to be within every limit. Raises BudgetUnreachable, naming what the smallest
    misses: what is counted first, since that is least there."""
    missing: list[tuple[Current, tuple[Resource, ...]]] = []
    for key, counts in zip(LEAST, least_counts(job.groups, job.settings), strict=False):
        least = yield from take_empirical_measurement(job, _cut_to(job, original, counts), budget=budget, key=key)
        missed = budget.unmet(least.upper_ends)
        if not missed:
            return
        missing.append((least, missed))
        if any(name not in least.figures for name in missed):
            break
    smallest, missed = missing[0]
    name = next((name for name in missed if name not in smallest.figures), missed[0])
    best = min((least for least, names in missing if name in names), key=lambda least: least.resources[name])
    raise BudgetUnreachable(name, budget.limits[name], best.resources[name], best.upper_end(name))


def calibrated(job: Job, net: Current) -> tuple[Predict, Resources]:
    """What a candidate is predicted to need, given the channel counts of all groups; and the calibration factors.

    What is measured is Res_i x table(candidate) / table(Net_i): a bias of the table cancels, where a step is 1-3 % and
    the table errs by 5 %.
    """
    meters = {name: meter for name, meter in job.meters.items() if name in job.asked}
    calibrations = {name: net.resources[name] / meter.predict(net.network.graph) for name, meter in meters.items()}

    def predict(counts: Mapping[str, int]) -> Resources:
        graph = pruned_graph(job.original.graph, job.groups, counts)
        predicted = {name: calibrations[name] * meter.predict(graph) for name, meter in meters.items()}
        return costs(graph).resources | predicted

    return predict, calibrations


def _original(job: Job, scores: OriginalEvaluated) -> Current:
    return Current(
        iteration=0,
        network=job.original,
        kept=all_kept(job.groups),
        resources={},
        figures={},
        holdout=scores.holdout,
        learning_rate=job.settings.learning_rate,
    )


def _cut_to(job: Job, original: Current, counts: Mapping[str, int]) -> Current:
    """Which filters stay does not matter for its resources."""
    kept = {group: tuple(range(count)) for group, count in counts.items()}
    network: Network = prune(job.original.graph, job.groups, job.original, original.kept, kept)
    return replace(original, network=network, kept=kept)
