"""ShortTermFineTune of an iteration's proposals and control, and LongTermFineTune of the network that is left."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapt.budget import Budget
from adapt.errors import ProposalFailed
from adapt.events import (
    ControlEvaluated,
    Evaluation,
    Event,
    Message,
    PhaseChanged,
    ProposalEvaluated,
    ProposalGivenUp,
    Score,
)
from adapt.executors.contract import Candidate, Failure
from adapt.graph.network import Network, Weights
from adapt.graph.pruning import Kept, pruned_graph
from adapt.measurement import take_final_measurement
from adapt.pick import Aim, mnasnet_reward, slope
from adapt.proposals import Choice
from adapt.reach import Bundle
from adapt.search import Current, Job, Progress
from adapt.spec import Resources, Reward, derive_seed


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A bundle, the count that ChooseNumFilters found, and the positions that ChooseWhichFilters keeps, by group."""

    bundle: Bundle
    choice: Choice
    kept: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Beside:
    """Proposals that are begun with the control, and the step up to which they train (None: to the end)."""

    proposals: Sequence[Proposal]
    until: int | None = None


@dataclass(frozen=True)
class UnderWay:
    """The results of an iteration's proposals: those that are there, and those that are being trained."""

    early: list[Evaluation | Failure]
    running: Generator[Evaluation | Failure, None, None]

    def __iter__(self) -> Iterator[Evaluation | Failure]:
        """Once: nobody keeps what was taken, for a network and its momentum are large."""
        while self.early:
            yield self.early.pop(0)
        yield from self.running

    def close(self) -> None:
        """Ends the training of those that are not through."""
        self.running.close()


def evaluate_control(
    job: Job, net: Current, iteration: int, beside: Beside
) -> Generator[Event, None, tuple[Evaluation, Current, UnderWay]]:
    """The unpruned network after the same fine-tune as the proposals get: dAcc is measured against it.

    Fine-tuning alone raises accuracy, and the slope would then reward the smallest cut. When the control gets worse
    by more than the hold-out's standard error, the learning rate is too high: it is halved, once in a job.
    The proposals `beside` it are begun with it, so that no process idles meanwhile; those that end before it wait for
    it, and what was begun at too high a rate is begun anew.
    """
    control, under_way = _begin(job, net, iteration, beside)
    reason = None
    before, noise = net.holdout.accuracy, net.holdout.standard_error
    if control.accuracy < before - noise and net.learning_rate == job.settings.learning_rate:
        reason = (
            f"the control fell from {before:.4f} to {control.accuracy:.4f}, by more than the standard error "
            f"{noise:.4f}: learning rate halved to {net.learning_rate / 2:g}"
        )
        net = replace(net, learning_rate=net.learning_rate / 2)
        under_way.close()
        control, under_way = _begin(job, net, iteration, beside)
    yield ControlEvaluated(iteration=iteration, evaluation=control, learning_rate=net.learning_rate, reason=reason)
    if control.accuracy < before - noise:
        yield Message(
            text=f"iteration {iteration}: at the halved rate {net.learning_rate:g} too the control fell from "
            f"{before:.4f} to {control.accuracy:.4f}, by more than the standard error {noise:.4f}: a lower "
            "learning_rate may help"
        )
    yield from told_of_parts(job, iteration, control)
    return control, net, under_way


Outcomes = Iterator[tuple[Proposal, Evaluation | ProposalGivenUp]]
"""Of each proposal what the executor made of it, as soon as it is there."""


def short_term_finetune(
    job: Job, net: Current, iteration: int, outcomes: Outcomes, control: Evaluation, aim: Aim
) -> Generator[Event, None, list[ProposalEvaluated]]:
    """Line 11 of Algorithm 1 for all proposals of an iteration, in whatever order the executor ends them.

    Slope and reward are by the resource of `aim`. Raises ProposalFailed when not one could be evaluated.
    """
    evaluated = []
    given_up = None
    for proposal, outcome in outcomes:
        if isinstance(outcome, ProposalGivenUp):
            given_up = outcome
            yield given_up
        else:
            evaluated.append(with_figures(net, iteration, proposal, outcome, control, aim, job.settings.reward))
            yield evaluated[-1]
            yield from told_of_parts(job, iteration, outcome)
    if not evaluated and given_up is not None:
        raise ProposalFailed(f"{given_up.group} of iteration {iteration}", given_up.attempts, given_up.reason)
    return evaluated


def outcomes(
    job: Job,
    net: Current,
    iteration: int,
    proposals: Sequence[Proposal],
    begun: Mapping[str, Evaluation],
    until: int | None = None,
) -> Outcomes:
    """Up to step `until` (None: to the end). Those of `begun`, by group, go on from where they stopped."""
    candidates = [going_on(of_proposal(job, net, iteration, each), begun.get(each.bundle.id)) for each in proposals]
    candidates = [replace(each, until=until) for each in candidates]
    results = job.executor.evaluate(net.network, net.kept, candidates, job.stop)
    for proposal, outcome in outcomes_of(net, iteration, proposals, results):
        if isinstance(outcome, Evaluation) and (earlier := begun.get(proposal.bundle.id)) is not None:
            outcome = replace(outcome, attempts=max(earlier.attempts, outcome.attempts))
        yield proposal, outcome


def outcomes_of(
    net: Current, iteration: int, proposals: Sequence[Proposal], results: Iterable[Evaluation | Failure]
) -> Outcomes:
    by_group = {proposal.bundle.id: proposal for proposal in proposals}
    for result in results:
        proposal = by_group[result.group or ""]
        if isinstance(result, Failure):
            yield proposal, _given_up(net, iteration, proposal, result)
        else:
            yield proposal, result


def next_network(job: Job, net: Current, iteration: int, picked: ProposalEvaluated) -> Current:
    """Net_{i+1}: the picked proposal with its fine-tuned weights; its Res_{i+1} is still to be measured.

    One that was read back from the record has none any more: it is trained again, to the same bits.
    """
    return network_of(job, net, iteration, net.keeping(picked.positions), _with_weights(job, net, iteration, picked))


def trained_network(job: Job, net: Current, iteration: int, result: ProposalEvaluated) -> Network:
    """What a proposal's fine-tune left; trained again where its weights are not at hand."""
    evaluation = _with_weights(job, net, iteration, result)
    return network_of(job, net, iteration, net.keeping(result.positions), evaluation).network


def train_control_again(job: Job, net: Current, iteration: int, control: Evaluation) -> Weights:
    """Where only its figures are in the record."""
    again = replace(control_candidate(job, net, iteration), parts=control.parts)
    weights = only_result(job, net, again).weights
    assert weights is not None, "an executor's own results carry their weights"
    return weights


def _with_weights(job: Job, net: Current, iteration: int, result: ProposalEvaluated) -> Evaluation:
    evaluation = result.evaluation
    if evaluation.weights is not None:
        return evaluation
    again = replace(candidate(job, net, iteration, result.group, result.positions), parts=evaluation.parts)
    return replace(evaluation, weights=only_result(job, net, again).weights)


def network_of(job: Job, net: Current, iteration: int, kept: Kept, score: Evaluation) -> Current:
    """What was trained and evaluated, as the network to go on with."""
    weights = score.weights
    assert weights is not None, "an executor's own results carry their weights"
    graph = pruned_graph(job.original.graph, job.groups, {group: len(channels) for group, channels in kept.items()})
    return replace(
        net,
        iteration=iteration,
        network=Network(graph, weights),
        kept=kept,
        holdout=Score(accuracy=score.accuracy, loss=score.loss, images=net.holdout.images),
    )


def long_term_finetune(job: Job, budget: Budget, net: Current, progress: Progress) -> Generator[Event, None, Current]:
    """Line 14 of Algorithm 1, or training from scratch in its place, and the measurement of what came out.

    A network that was within the budget from the start is handed back as it is.
    """
    if net.network is job.original:
        return net
    if job.settings.final != "none":
        net = yield from _trained(job, net, progress)
    return (yield from take_final_measurement(job, net, budget))


def _trained(job: Job, net: Current, progress: Progress) -> Generator[Event, None, Current]:
    """When the fine-tuned network's hold-out loss is worse than the pick's, the pick is kept. One that was trained from
    scratch was asked for: it is the result, unless its training lost its numbers."""
    yield PhaseChanged(phase="finetuning")
    anew = job.settings.final == "from-scratch"
    train = job.trainer.train_from_scratch if anew else job.trainer.long_term_finetune
    last = progress.epoch if progress.iteration == net.iteration else None
    state = None if last is None else last.state
    for last in train(net.network, state, job.stop):
        yield last
    if last is None:
        return net
    if last.holdout.loss > net.holdout.loss:
        yield Message(text=_worse(net, last.holdout, anew))
        if last.holdout.lost or not anew:
            return net
    return replace(net, network=job.trainer.finetuned(net.network, last.state), holdout=last.holdout)


def _worse(net: Current, score: Score, anew: bool) -> str:
    """In words, what is done about a training that ended with a higher loss than the pick had."""
    if anew and score.lost:
        return "training from scratch lost its numbers (a lower training_learning_rate avoids that): the pick is kept"
    after = "training from scratch" if anew else "the long-term fine-tune"
    kept = f"as asked it is the result, the pick is checkpoint {net.iteration}" if anew else "the pick is kept"
    return f"hold-out loss after {after} {score.loss:.4f}, of the pick {net.holdout.loss:.4f}: {kept}"


def told_of_parts(job: Job, iteration: int, result: Evaluation) -> Iterator[Message]:
    """That memory ran out, and what was done about it."""
    if result.parts > 1:
        at_once = job.settings.batch_size // result.parts
        yield Message(
            text=f"{result.group or 'the control'} of iteration {iteration} ran out of memory with batches of "
            f"{job.settings.batch_size}: trained with {at_once} images at once, the gradients of {result.parts} such "
            f"parts added up; batch norm sees {at_once} images at a time"
        )


def control_candidate(job: Job, net: Current, iteration: int) -> Candidate:
    seed = derive_seed(job.settings.seed, iteration, "control")
    return Candidate(group=None, kept=net.kept, seed=seed, learning_rate=net.learning_rate)


def _begin(job: Job, net: Current, iteration: int, beside: Beside) -> tuple[Evaluation, UnderWay]:
    """The control, and the results of the proposals as they come. Raises ProposalFailed when the control failed."""
    others = [replace(of_proposal(job, net, iteration, each), until=beside.until) for each in beside.proposals]
    control = control_candidate(job, net, iteration)
    running = job.executor.evaluate(net.network, net.kept, [control, *others], job.stop)
    early = []
    while (result := next(running)).group is not None:
        early.append(result)
    if isinstance(result, Failure):
        raise ProposalFailed("control", result.attempts, result.reason)
    return result, UnderWay(early, running)


def only_result(job: Job, net: Current, candidate: Candidate) -> Evaluation:
    """Raises ProposalFailed."""
    (result,) = job.executor.evaluate(net.network, net.kept, [candidate], job.stop)
    if isinstance(result, Failure):
        raise ProposalFailed(candidate.group or "control", result.attempts, result.reason)
    return result


def of_proposal(job: Job, net: Current, iteration: int, proposal: Proposal) -> Candidate:
    return candidate(job, net, iteration, proposal.bundle.id, proposal.kept)


def going_on(candidate: Candidate, begun: Evaluation | None) -> Candidate:
    return candidate if begun is None else replace(candidate, begun=begun, parts=begun.parts)


def candidate(job: Job, net: Current, iteration: int, group: str, positions: Mapping[str, Sequence[int]]) -> Candidate:
    return Candidate(
        group=group,
        kept=net.keeping(positions),
        seed=derive_seed(job.settings.seed, iteration, group),
        learning_rate=net.learning_rate,
    )


def cut_of(net: Current, iteration: int, proposal: Proposal) -> dict[str, Any]:
    """The fields of adapt.events.Cut."""
    predicted: Resources = proposal.choice.option.predicted
    larger = proposal.choice.next_larger
    return {
        "iteration": iteration,
        "group": proposal.bundle.id,
        "further": {group: proposal.kept[group] for group in proposal.bundle.further},
        "filters_before": net.counts[proposal.bundle.id],
        "filters_after": proposal.choice.option.filters,
        "kept": proposal.kept[proposal.bundle.id],
        "predicted": predicted,
        "next_larger_filters": None if larger is None else larger.filters,
        "next_larger_predicted": None if larger is None else larger.predicted,
        "delta_latency_ms": (
            predicted["latency_ms"] - net.resources["latency_ms"] if "latency_ms" in predicted else None
        ),
    }


def with_figures(
    net: Current,
    iteration: int,
    proposal: Proposal,
    result: Evaluation,
    control: Evaluation,
    aim: Aim,
    exponents: Reward,
) -> ProposalEvaluated:
    predicted: Resources = proposal.choice.option.predicted
    delta_accuracy = result.accuracy - control.accuracy
    before, after = net.resources[aim.resource], predicted[aim.resource]
    reduction = (before - after) / before
    return ProposalEvaluated(
        **cut_of(net, iteration, proposal),
        evaluation=result,
        delta_accuracy=delta_accuracy,
        relative_reduction=reduction,
        slope=slope(delta_accuracy, reduction),
        reward=mnasnet_reward(result.accuracy, after / aim.limit, exponents),
    )


def _given_up(net: Current, iteration: int, proposal: Proposal, failure: Failure) -> ProposalGivenUp:
    return ProposalGivenUp(
        iteration=iteration,
        group=proposal.bundle.id,
        further=proposal.bundle.further,
        filters_before=net.counts[proposal.bundle.id],
        filters_after=proposal.choice.option.filters,
        reason=failure.reason,
        attempts=failure.attempts,
    )
