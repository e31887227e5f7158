"""TakeEmpiricalMeasurement, and what follows from it: the budget in figures, and whether it can be met at all."""

from collections.abc import Generator, Mapping
from dataclasses import replace

from adapt.budget import Budget, resolve
from adapt.errors import BudgetUnreachable, OriginalAccuracyTooLow
from adapt.events import BudgetResolved, Event, Latency, Measured, Message, OriginalEvaluated, Phase, PhaseChanged
from adapt.graph.costs import costs
from adapt.graph.network import Network
from adapt.graph.pruning import all_kept, prune, pruned_graph
from adapt.layer_patterns import check_patterns
from adapt.proposals import Predict
from adapt.reach import smallest_counts
from adapt.schedule import check_reaches
from adapt.search import Current, Job, Progress
from adapt.spec import Resources

MARGIN_OVER_CHANCE = 1.5
"""An original at or below this multiple of chance does not classify the data set: nothing can be learned from it."""


def begin(job: Job, progress: Progress) -> Generator[Event, None, tuple[Current, Current]]:
    """Lines 1-2 of Algorithm 1: the original with its accuracy and resources, and the network to go on from.

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
    original = yield from take_empirical_measurement(job, _original(job, scores), report=True)
    if progress.network is None or progress.kept is None or progress.holdout is None:
        return original, original
    net = replace(
        original,
        iteration=progress.iteration,
        network=progress.network,
        kept=progress.kept,
        holdout=progress.holdout,
        learning_rate=progress.learning_rate or original.learning_rate,
    )
    net = yield from take_empirical_measurement(job, net, key=None if progress.iteration else "start")
    return original, net


def take_empirical_measurement(
    job: Job, net: Current, *, key: str | None = None, report: bool = False, phase: Phase = "measuring"
) -> Generator[Event, None, Current]:
    """`net` with its Res: costs from the graph, latency measured end to end where the budget asks for it.

    `report` measures the latency without a budget for it too: it is shown, and no decision rests on it.
    """
    budgeted = "latency_ms" in job.asked
    resources = costs(net.network.graph).resources
    latency: Latency | None = None
    if job.meter is not None and (budgeted or report):
        yield PhaseChanged(phase=phase)
        key = key or str(net.iteration)
        latency = job.meter.measure(key, net.network)
        yield Measured(key=key, latency=latency)
        if budgeted:
            resources["latency_ms"] = latency.ms
    return replace(net, resources=resources, latency=latency)


def check_reachable(job: Job, original: Current) -> Generator[Event, None, Budget]:
    """The budget in absolute figures. Says before the first iteration whether it can be met, and by how much not.

    The smallest network's latency is measured, not extrapolated. Raises ScheduleTooShort, BudgetUnreachable.
    """
    margin = 0.0 if job.meter is None else job.meter.margin
    budget = resolve(job.asked, original.resources, original.upper_ends, margin=margin)
    yield BudgetResolved(original=original.resources, limits=budget.limits)
    if not budget.unmet(original.upper_ends):
        yield Message(text="the original network is within the budget already: nothing is cut")
        return budget
    check_reaches(budget, job.settings.schedule, original.resources)
    smallest = yield from take_empirical_measurement(job, _smallest(job, original), key="smallest")
    for name in budget.unmet(smallest.upper_ends):
        raise BudgetUnreachable(name, budget.limits[name], smallest.upper_ends[name])
    return budget


def calibrated(job: Job, net: Current) -> tuple[Predict, float | None]:
    """What a candidate is predicted to need, given the channel counts of all groups; and the calibration factor.

    Latency is Res_i x table(candidate) / table(Net_i): a bias of the table cancels, where a step is 1-3 % and the
    table errs by 5 %.
    """
    calibration: float | None = None
    if job.meter is not None and "latency_ms" in job.asked:
        calibration = net.resources["latency_ms"] / job.meter.predict_ms(net.network.graph)

    def predict(counts: Mapping[str, int]) -> Resources:
        graph = pruned_graph(job.original.graph, job.groups, counts)
        resources = costs(graph).resources
        if calibration is not None and job.meter is not None:
            resources["latency_ms"] = calibration * job.meter.predict_ms(graph)
        return resources

    return predict, calibration


def _original(job: Job, scores: OriginalEvaluated) -> Current:
    return Current(
        iteration=0,
        network=job.original,
        kept=all_kept(job.groups),
        resources={},
        latency=None,
        holdout=scores.holdout,
        learning_rate=job.settings.learning_rate,
    )


def _smallest(job: Job, original: Current) -> Current:
    """The least network that these settings can reach; which filters stay does not matter for its resources."""
    kept = {group: tuple(range(count)) for group, count in smallest_counts(job.groups, job.settings).items()}
    network: Network = prune(job.original.graph, job.groups, job.original, original.kept, kept)
    return replace(original, network=network, kept=kept)
