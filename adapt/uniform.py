"""`compare: uniform`: the uniformly thinned network that costs what the result costs, trained for as many steps."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from adapt.events import Event, Message, PhaseChanged, Uniform, UniformChosen
from adapt.graph.pruning import ChannelGroup, Kept, Layout, all_kept, prune
from adapt.importance import Figures, Subject, find_criterion, keep_largest
from adapt.measurement import calibrated, take_empirical_measurement
from adapt.reach import allowed_counts, why_left_alone
from adapt.search import Current, Job, Progress
from adapt.spec import Resources, Settings, derive_seed

BY_PREDICTION = 4
"""Measurements of which the prediction says where; after that the interval is halved."""
MOST_MEASUREMENTS = 12
"""Of widths, once one is found to be within: what is left between differs by less than the noise."""


@dataclass(frozen=True, kw_only=True)
class Width:
    """A network by its multiplier, the middle of those that make it; `counts` by group."""

    multiplier: float
    counts: Mapping[str, int]


def compare_uniform(
    job: Job, original: Current, final: Current, progress: Progress
) -> Generator[Event, None, Uniform | None]:
    """The widest one whose figures, measured, are within those of `final` in every budgeted resource; pruned from the
    original's weights by the job's importance at once, and trained for as many steps as `final` was.

    One that is trained from scratch is compared with one that is, for as many steps as well. None, told, where
    nothing was cut, or no width is within. Raises Stopped, MeasurementFailed.
    """
    candidates = widths(job.groups, job.settings)
    importances = _importances(job)

    def cut(place: int) -> Current:
        kept = _kept(job.groups, importances, candidates[place].counts)
        network = prune(job.original.graph, job.groups, job.original, original.kept, kept)
        return replace(original, network=network, kept=kept)

    place = progress.uniform
    if place is None:
        place = yield from _widest_within(job, final, candidates, cut)
        if place is None:
            yield Message(text=_none_within(job, final))
            return None
        yield UniformChosen(place=place)
    steps = steps_of_result(job, final, progress)
    chosen = candidates[place]
    yield Message(text=f"to compare with: all groups at {chosen.multiplier:.3f} of their channels, {steps} steps")
    net = yield from take_empirical_measurement(job, cut(place), key=f"uniform-{place}")
    trained = yield from _trained(job, net, steps, progress)
    if job.meters.keys() - trained.figures.keys():  # what has no budget was not measured yet
        trained = yield from take_empirical_measurement(job, trained, key="uniform", report=True)
    return Uniform(
        width=chosen.multiplier,
        steps=steps,
        network=trained.network,
        kept=trained.kept,
        resources=trained.resources,
        figures=trained.figures,
        latency=trained.latency,
        holdout=trained.holdout,
        test=job.trainer.test(trained.network),
    )


def widths(groups: Sequence[ChannelGroup], settings: Settings) -> list[Width]:
    """Every network that one multiplier over all groups makes, the widest first.

    A group gets the count that the job's rounding and limits allow which is nearest to its share, of two equally near
    the larger. Groups that `include` and `exclude` keep from the search stay as they are.
    """
    free = replace(settings, proposals="groups")
    allowed = {
        group.id: allowed_counts(group, settings) if why_left_alone(group, free) is None else [group.channels]
        for group in groups
    }
    channels = {group.id: group.channels for group in groups}
    turns = sorted({turn for name, counts in allowed.items() for turn in _turns(counts, channels[name])}, reverse=True)
    least = min((counts[0] / channels[name] for name, counts in allowed.items()), default=1.0)
    found, above = [], 1.0
    for turn in [*turns, min([least, *turns])]:
        multiplier = (above + turn) / 2
        nearest = {
            name: counts[sum(each <= multiplier for each in _turns(counts, channels[name]))]
            for name, counts in allowed.items()
        }
        found.append(Width(multiplier=multiplier, counts=nearest))
        above = turn
    return found


def steps_of_result(job: Job, final: Current, progress: Progress) -> int:
    """Training steps that are behind the weights of `final`: the short-term ones of each pick on its way, those of the
    jobs that this one continues included, and the long-term ones. From scratch the latter alone."""
    long_term = 0 if job.settings.final == "none" else job.settings.long_term_epochs * job.trainer.steps_per_epoch
    if job.settings.final == "from-scratch":
        return long_term
    return progress.steps_before + final.iteration * job.settings.short_term_steps + long_term


def _turns(counts: Sequence[int], channels: int) -> list[float]:
    """The multipliers from which on each next larger count is the nearer one."""
    return [(less + more) / 2 / channels for less, more in pairwise(counts)]


def _importances(job: Job) -> dict[str, Figures]:
    """Of the channels of the original, by group."""
    kept = all_kept(job.groups)
    subject = Subject(
        network=job.original,
        layout=Layout(job.original.graph, job.groups, kept),
        evidence=job.trainer.evidence(job.original, derive_seed(job.settings.seed, "uniform", "importance")),
    )
    criterion = find_criterion(job.settings.importance)
    return {group.id: criterion(group, subject) for group in job.groups if group.prunable}


def _kept(groups: Sequence[ChannelGroup], importances: Mapping[str, Figures], counts: Mapping[str, int]) -> Kept:
    everything = all_kept(groups)
    return {
        group: keep_largest(importances[group], counts[group]) if group in importances else channels
        for group, channels in everything.items()
    }


def _widest_within(
    job: Job, final: Current, candidates: Sequence[Width], cut: Callable[[int], Current]
) -> Generator[Event, None, int | None]:
    """The place of the widest candidate whose measured figures are within those of `final`; None where not even the
    narrowest is. The table says where to measure first, calibrated to what was measured last."""
    limits = {name: final.resources[name] for name in job.asked}
    over, within, at = -1, len(candidates), final
    measured = 0
    while within - over > 1 and (measured < MOST_MEASUREMENTS or within == len(candidates)):
        place = _by_prediction(job, at, candidates, limits, over, within)
        if measured >= BY_PREDICTION:
            place = (over + within) // 2
        at = yield from take_empirical_measurement(job, cut(place), key=f"uniform-{place}")
        measured += 1
        if _is_within(at.resources, limits):
            within = place
        else:
            over = place
    return within if within < len(candidates) else None


def _by_prediction(
    job: Job, at: Current, candidates: Sequence[Width], limits: Resources, over: int, within: int
) -> int:
    """The widest between those two that is predicted to be within; the narrowest of them where none is."""
    predict, _ = calibrated(job, at)
    low, high = over, within
    while high - low > 1:
        middle = (low + high) // 2
        if _is_within(predict(candidates[middle].counts), limits):
            high = middle
        else:
            low = middle
    return min(high, within - 1)


def _is_within(resources: Resources, limits: Resources) -> bool:
    return all(resources[name] <= limit for name, limit in limits.items())


def _trained(job: Job, net: Current, steps: int, progress: Progress) -> Generator[Event, None, Current]:
    yield PhaseChanged(phase="finetuning")
    last = progress.epoch if progress.final is not None else None
    state = None if last is None else last.state
    if job.settings.final == "from-scratch":
        epochs = job.trainer.train_from_scratch(net.network, state, job.stop)
    else:
        epochs = job.trainer.finetune_for(net.network, steps, state, job.stop)
    for last in epochs:
        yield replace(last, of="uniform")
    if last is None:
        raise AssertionError("a result has at least one training step behind it")
    if last.holdout.lost:
        yield Message(text="the training of the uniformly thinned network lost its numbers: its accuracy says nothing")
    return replace(net, network=job.trainer.finetuned(net.network, last.state), holdout=last.holdout)


def _none_within(job: Job, final: Current) -> str:
    figures = ", ".join(f"{name} {final.resources[name]:.6g}" for name in job.asked)
    return f"compared with nothing: no uniformly thinned network that the settings allow is within {figures}"
