"""NetAdapt, Algorithm 1 (Yang et al., 2018), for several resources at once (eq. 1-2).

A generator: it takes values and yields events, and knows neither database nor HTTP. Whoever drives it records each
event before asking for the next, so a time is in the record before a decision rests on it.
The numbers in comments are the lines of Algorithm 1. What the paper does not have: layers tied together shrink together
(a channel group), a look-up table's predictions are calibrated to each measured network, a control tells what training
alone gains, and the result is measured once more after line 14.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace

from adapt.budget import Budget
from adapt.events import (
    Event,
    Finished,
    IterationDone,
    IterationStarted,
    Message,
    PhaseChanged,
    ProposalSkipped,
    ResultFound,
)
from adapt.exact import Exact
from adapt.finetune import Proposal, evaluate_control, long_term_finetune
from adapt.graph.pruning import Layout
from adapt.importance import Subject
from adapt.measurement import (
    begin,
    calibrated,
    check_reachable,
    network_to_go_on_from,
    resolved_budget,
    result_of_before,
    take_empirical_measurement,
)
from adapt.pick import Aim
from adapt.proposals import Situation, choose_constraint, choose_num_filters, choose_which_filters, why_skipped
from adapt.race import Racing
from adapt.reach import Bundle, bundles
from adapt.round import Lines, Picked, Round
from adapt.rounding import with_rounding
from adapt.search import Current, Job, Progress
from adapt.spec import Resource, Resources, Search, derive_seed
from adapt.uniform import compare_uniform

SEARCHES: Mapping[Search, Callable[[Progress], Lines]] = {"exact": lambda _: Exact(), "racing": Racing}
"""Who does lines 11 to 13: a race goes on from what is recorded of it."""


def adapt_network(job: Job, progress: Progress) -> Generator[Event, None, None]:
    """Shrinks the job's network until it meets the budget, and fine-tunes it.

    Raises, before anything is trained, NoSuchLayer, OriginalAccuracyTooLow, ScheduleTooShort or BudgetUnreachable;
    later BudgetNotMet when no group can be cut any further; ProposalFailed when every proposal of an iteration did;
    Stopped when asked to; MeasurementFailed.
    """
    original = yield from begin(job, progress)  # 1-2: Net_0, Res_0 = TakeEmpiricalMeasurement(Net_0)
    job = yield from with_rounding(job, progress)
    budget = yield from check_reachable(job, original)
    if progress.final is None:
        net = yield from network_to_go_on_from(job, progress, original, budget)
        final = yield from search(job, budget, original, net, progress)  # 3-14
    else:  # what is left is to train what it is compared with
        final = yield from result_of_before(job, progress.final, original, budget)
    yield from conclude(job, original, final, progress)  # 15


def search(
    job: Job, budget: Budget, original: Current, net: Current, progress: Progress
) -> Generator[Event, None, Current]:
    """Lines 3-14: the result, within the budget as measured after its fine-tune."""
    lines = SEARCHES[job.settings.search](progress)
    while True:  # once, unless the last measurement is over the budget after all
        net = yield from shrink(job, budget, original, net, lines)  # 3-13
        final = yield from long_term_finetune(job, budget, net, progress)  # 14
        if not budget.unmet(final.upper_ends):
            return final
        yield Message(text="measured again after the fine-tune it is over the budget: the search goes on")
        net = replace(net, resources=final.resources, figures=final.figures)


def conclude(job: Job, original: Current, final: Current, progress: Progress) -> Generator[Event, None, None]:
    """The result with its test accuracy, and what it is compared with where that was asked for."""
    found = ResultFound(
        iteration=final.iteration,
        network=final.network,
        kept=final.kept,
        resources=final.resources,
        figures=final.figures,
        latency=final.latency,
        holdout=final.holdout,
        test=job.trainer.test(final.network),
    )
    uniform = None
    if job.settings.compare == "uniform" and final.network is job.original:
        yield Message(text="nothing was cut: there is nothing to compare with")
    elif job.settings.compare == "uniform":
        yield found
        uniform = yield from compare_uniform(job, original, final, progress)
    yield Finished(**vars(found), uniform=uniform)


def finish_pick(job: Job, progress: Progress) -> Generator[Event, None, None]:
    """Line 14 alone, of the network that an iteration of another job picked: a member of that job's family.

    Whatever it is measured at now, it stays that network. Raises OriginalAccuracyTooLow, Stopped, MeasurementFailed.
    """
    original = yield from begin(job, progress)
    budget = yield from resolved_budget(job, original)
    if progress.final is None:
        net = yield from network_to_go_on_from(job, progress, original, budget)
        final = yield from long_term_finetune(job, budget, net, progress)
    else:
        final = yield from result_of_before(job, progress.final, original, budget)
    if over := budget.unmet(final.upper_ends):
        yield Message(text=_over_budget(budget, final, over))
    yield from conclude(job, original, final, progress)


def shrink(job: Job, budget: Budget, original: Current, net: Current, lines: Lines) -> Generator[Event, None, Current]:
    """Lines 3-13: one iteration after the other until the measured network is within the budget."""
    layers = bundles(job.groups, job.settings)  # layers tied together shrink together
    while unmet := budget.unmet(net.upper_ends):  # 3: while Res_i > Bud
        i = net.iteration + 1
        predict, calibrations = calibrated(job, net)
        situation = Situation(
            bundles=layers,
            counts=net.counts,
            current=net.resources,
            upper_ends=net.upper_ends,
            unmet=unmet,
            units={name: job.meters[name].unit for name in calibrations},
            settings=job.settings,
            predict=predict,
        )
        constraint = choose_constraint(situation, budget, i, original.resources)  # 4: Con = Res_i - dR_i

        subject = _subject(job, net, i)
        proposals, skipped = [], []
        for bundle in layers:  # 5: for k from 1 to K
            choice = choose_num_filters(situation, bundle, constraint)  # 6-9: N_Filt_k, Res_Simp_k
            if choice is None:
                skipped.append(_skipped(i, situation, bundle, constraint))
            else:
                n = choice.option.filters
                kept = choose_which_filters(subject, bundle, n, job.settings.importance)  # 10: Net_Simp_k
                proposals.append(Proposal(bundle=bundle, choice=choice, kept=kept))
        yield IterationStarted(
            iteration=i,
            before=net.resources,
            constraint=constraint,
            calibrations=calibrations,
            candidates=len(proposals),
        )
        yield from skipped

        yield PhaseChanged(phase="adapting")
        control, net, under_way = yield from evaluate_control(
            job, net, i, lines.beside_the_control(job.settings, i, proposals)
        )
        falling = situation.furthest_to_fall(constraint)
        aim = Aim(resource=falling, limit=budget.limits[falling])
        now = Round(
            job=job,
            budget=budget,
            net=net,
            iteration=i,
            situation=situation,
            control=control,
            under_way=under_way,
            aim=aim,
        )
        results = yield from lines.short_term_finetune(now, proposals)  # 11: ShortTermFineTune

        picked = yield from lines.pick(now, results)  # 12-13: PickHighestAccuracy, Net_{i+1}; i = i + 1
        net = yield from take_empirical_measurement(job, picked.net, budget=budget)  # 12: Res_{i+1}, not as predicted
        yield _done(net, picked)
    return net


def _subject(job: Job, net: Current, iteration: int) -> Subject:
    """Net_i as ChooseWhichFilters looks at it."""
    return Subject(
        network=net.network,
        layout=Layout(job.original.graph, job.groups, net.kept),
        evidence=job.trainer.evidence(net.network, derive_seed(job.settings.seed, iteration, "importance")),
    )


def _over_budget(budget: Budget, final: Current, over: Sequence[Resource]) -> str:
    figures = ", ".join(f"{name} up to {final.upper_ends[name]:.4g} where {budget.limits[name]:.4g}" for name in over)
    return f"measured again, this pick has {figures} is asked; a later iteration's has less"


def _skipped(iteration: int, situation: Situation, bundle: Bundle, constraint: Resources) -> ProposalSkipped:
    return ProposalSkipped(
        iteration=iteration,
        group=bundle.id,
        further=bundle.further,
        filters_before=situation.counts[bundle.id],
        reason=why_skipped(situation, bundle, constraint),
    )


def _done(net: Current, picked: Picked) -> IterationDone:
    return IterationDone(
        iteration=net.iteration,
        picked=tuple(proposal.group for proposal in picked.proposals),
        reasons=dict(picked.reasons),
        network=net.network,
        kept=net.kept,
        after=net.resources,
        holdout=net.holdout,
        latency=net.latency,
    )
