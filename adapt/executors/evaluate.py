"""One candidate from cut to score: what every executor does, wherever it does it."""

import time

from adapt.events import WORST_LOSS, Evaluation, Score
from adapt.executors.contract import Candidate
from adapt.executors.task import TrainingTask
from adapt.graph.network import Network
from adapt.graph.pruning import Kept, prune
from adapt.modules import read_weights
from adapt.training.losses import fine_tuning
from adapt.training.scoring import evaluate, reestimate_batch_norm
from adapt.training.sgd import recipe_of, trainable_module
from adapt.training.short_term import short_term_finetune
from adapt.training.supervision import Diverged, Pulse


def evaluate_candidate(
    task: TrainingTask, network: Network, before: Kept, candidate: Candidate, pulse: Pulse
) -> Evaluation:
    """ChooseWhichFilters carried out, ShortTermFineTune, and the accuracy on the hold-out before and after.

    To be called under `supervised`. A control that diverges gets the worst score there is, since the search answers
    that by a lower rate; for a proposal it raises Diverged. Raises Stopped from the pulse.
    """
    started = time.perf_counter()
    settings, data = task.settings, task.data
    module = trainable_module(prune(task.original, task.groups, network, before, candidate.kept))

    def score() -> Score:
        reestimate_batch_norm(
            module,
            data.train,
            data.normalization,
            most_batches=settings.batch_norm_batches,
            batch_size=settings.batch_size,
            seed=settings.seed,
            pulse=pulse,
        )
        return evaluate(module, data.holdout, data.normalization, pulse)

    untrained = score()
    recipe = recipe_of(settings, candidate.learning_rate)
    steps = settings.short_term_steps
    loss = fine_tuning(module, task.teacher, settings)
    try:
        short_term_finetune(module, data, recipe, steps=steps, seed=candidate.seed, pulse=pulse, loss=loss)
        trained = score()
    except Diverged as diverged:
        if candidate.group is not None:
            raise
        steps, trained = diverged.step, Score(accuracy=0.0, loss=WORST_LOSS, images=untrained.images)
    weights = read_weights(module)
    return Evaluation(
        group=candidate.group,
        accuracy_before_finetune=untrained.accuracy,
        accuracy=trained.accuracy,
        loss=trained.loss,
        steps=steps,
        attempts=1,
        seconds=time.perf_counter() - started,
        weights={name: weights[name] for name in network.weights},  # the module's own order is another
    )
