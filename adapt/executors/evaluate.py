"""One candidate from cut to score: what every executor does, wherever it does it."""

import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from adapt.events import WORST_LOSS, Evaluation, Score
from adapt.executors.contract import Candidate
from adapt.executors.messages import Diverges, Failed
from adapt.executors.task import TrainingTask
from adapt.graph.network import Network, Weights
from adapt.graph.pruning import Kept, prune
from adapt.latency.machine_lock import MachineLock
from adapt.modules import read_weights
from adapt.stop import never
from adapt.training.device import training_device
from adapt.training.losses import fine_tuning
from adapt.training.out_of_memory import in_parts
from adapt.training.scoring import judge, reestimate_batch_norm
from adapt.training.sgd import recipe_of, trainable_module
from adapt.training.short_term import short_term_finetune
from adapt.training.supervision import Diverged, Pulse, supervised


def evaluate_candidate(
    task: TrainingTask, network: Network, before: Kept, candidate: Candidate, pulse: Pulse
) -> Evaluation:
    """ChooseWhichFilters carried out, ShortTermFineTune, and the accuracy on the hold-out before and after.

    To be called under `supervised`. A control that diverges gets the worst score there is, since the search answers
    that by a lower rate; for a proposal it raises Diverged. Where memory runs out, all is done again from the first
    step with batches in twice as many parts, statistics and evaluation included. Raises OutOfMemory, and Stopped from
    the pulse.
    """
    started = time.perf_counter()
    begun = candidate.begun
    cut = prune(task.original, task.groups, network, before, candidate.kept)
    evaluation, parts = in_parts(
        partial(_evaluated, task, cut, candidate, pulse),
        batch=min(task.settings.batch_size, len(task.data.train)),
        parts=candidate.parts,
    )
    seconds = time.perf_counter() - started + (0.0 if begun is None else begun.seconds)
    return replace(evaluation, parts=parts, seconds=seconds)


def outcome_of(
    task: TrainingTask,
    network: Network,
    before: Kept,
    candidate: Candidate,
    lock: MachineLock | None,
    telling: Callable[[Pulse], Pulse],
) -> Evaluation | Diverges | Failed:
    """`evaluate_candidate` in a process that somebody else waits for: whatever happens is told, nothing is raised.

    `telling` makes of a pulse one that also says that training goes on.
    """
    try:
        training_device(task.settings.device)  # kernels are chosen by whether a GPU is in use
        with supervised(lock, never) as pulse:
            return evaluate_candidate(task, network, before, candidate, telling(pulse))
    except Diverged as diverged:
        return Diverges(str(diverged))
    except Exception as error:
        return Failed(f"{type(error).__name__}: {error}", traceback.format_exc())


def _standing(cut: Network, begun: Evaluation | None) -> Network:
    return cut if begun is None or begun.weights is None else Network(cut.graph, begun.weights)


def _evaluated(task: TrainingTask, cut: Network, candidate: Candidate, pulse: Pulse, parts: int) -> Evaluation:
    settings, data, begun = task.settings, task.data, candidate.begun_in(parts)
    module = trainable_module(_standing(cut, begun), settings.device)

    def score() -> tuple[Score, bytes]:
        reestimate_batch_norm(
            module,
            data.train,
            data.normalization,
            most_batches=settings.batch_norm_batches,
            batch_size=settings.batch_size,
            seed=settings.seed,
            pulse=pulse,
            parts=parts,
        )
        found, answers = judge(module, data.holdout, data.normalization, pulse, parts)
        return found, np.packbits(answers).tobytes()

    untrained = score()[0].accuracy if begun is None else begun.accuracy_before_finetune
    recipe = recipe_of(settings, candidate.learning_rate, parts)
    steps = settings.short_term_steps
    leg = range(0 if begun is None else begun.steps, steps if candidate.until is None else candidate.until)
    loss = fine_tuning(module, task.teacher, settings)
    memory: Weights | None
    try:
        memory = short_term_finetune(
            module,
            data,
            recipe,
            steps=steps,
            seed=candidate.seed,
            pulse=pulse,
            loss=loss,
            leg=leg,
            memory=None if begun is None else begun.memory,
        )
        done = leg.stop
        trained, right = score()
    except Diverged as diverged:
        if candidate.group is not None:
            raise
        images = len(data.holdout)
        done, trained = diverged.step, Score(accuracy=0.0, loss=WORST_LOSS, images=images)
        memory, right = None, bytes(-(-images // 8))
    weights = read_weights(module)
    return Evaluation(
        group=candidate.group,
        accuracy_before_finetune=untrained,
        accuracy=trained.accuracy,
        loss=trained.loss,
        steps=done,
        attempts=1,
        seconds=0.0,  # not known yet
        weights={name: weights[name] for name in cut.weights},  # the module's own order is another
        right=right,
        memory=memory if done < steps else None,
    )
