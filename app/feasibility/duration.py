"""Roughly how long a job will take, from how fast its network trains. To be read as "about": see `estimate_seconds`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapt.data.split import HOLDOUT_AT_MOST, HOLDOUT_SMALL_SHARE, batches_per_epoch
from adapt.latency.reading import Plan
from adapt.rungs import rungs
from adapt.spec import Settings, TrainingSpeed

FORWARD = 1 / 3
"""Of a training step: the backward pass takes about twice as long as the forward one."""
STATISTICS_BATCH_AT_LEAST = 64  # images, of the batches that batch-norm statistics are taken over before each score
START_S = 5.0  # processes that import torch, the data set read


@dataclass(frozen=True, kw_only=True)
class ImageCounts:
    """Of a data set: to train on, to choose by, to report on."""

    train: int
    holdout: int
    test: int


def image_counts(splits: Mapping[str, Any] | None, settings: Settings) -> ImageCounts | None:
    """As the job will cut them (adapt.data.split); None for a data set that is not read yet."""
    if splits is None or not isinstance(splits.get("train"), int):
        return None
    train, test, declared = splits["train"], int(splits.get("test", 0)), splits.get("holdout")
    if isinstance(declared, int):
        train, holdout = train + declared, declared
    else:
        holdout = max(round(settings.holdout * train), min(HOLDOUT_AT_MOST, int(HOLDOUT_SMALL_SHARE * train)))
    set_aside = max(holdout, round(settings.holdout_max * train))
    return ImageCounts(train=train - set_aside, holdout=holdout, test=test)


def estimate_seconds(
    settings: Settings,
    images: ImageCounts,
    speed: TrainingSpeed,
    *,
    iterations: int,
    proposals: int,
    left: float,
    measures: bool,
    pretrains: bool,
) -> float:
    """On the wall clock: iterations x (control and proposals, as many at once as there are processes) x (steps x batch
    and the scores on the hold-out), the long-term epochs, the measurements, the training of what the result is compared
    with, and that of an architecture without weights.

    `left` is the share of the original's mult-adds that the search ends with: it trains faster and faster. Rough, by a
    factor of two to either side: every step of the schedule is taken to be made just as asked (rounding makes larger
    ones), every iteration to have a proposal of each group, and the machine to be as busy as when `speed` was measured.
    In a race nobody rests, and one group shrinks in an iteration. Of a Ray cluster only this machine is
    counted.
    """
    batch = min(settings.batch_size, images.train)
    statistics = min(settings.batch_norm_batches * max(batch, STATISTICS_BATCH_AT_LEAST), images.train)
    score = FORWARD * (images.holdout + statistics)
    at_once = 1 if settings.executor == "serial" else speed.processes
    taught = FORWARD * batch if settings.distill else 0.0  # by the original in each step, however small the network is
    size = (1 + left) / 2
    search = iterations * _iteration(settings, proposals, at_once, step=size * batch + taught, score=size * score)
    steps = batches_per_epoch(images.train, settings.batch_size)
    epoch = steps * batch + score
    fine_tunes = settings.final != "none" and iterations
    final = settings.long_term_epochs * (epoch * left + steps * taught) if fine_tunes else 0.0
    compared = 0.0
    if settings.compare != "none" and iterations:  # as many steps as the result had
        compared = (iterations * settings.short_term_steps + settings.long_term_epochs * steps) * (
            batch * left + taught
        )
    before = settings.training_epochs * epoch if pretrains else 0.0
    reports = FORWARD * (images.holdout + images.test) * (1 + left)
    plan = Plan()
    measurements = (iterations + 4 if measures else 2) * math.sqrt(plan.minimum_s * plan.maximum_s)
    return START_S + measurements + speed.ms_per_image / 1000 * (search + final + compared + before + reports)


def _iteration(settings: Settings, proposals: int, at_once: int, *, step: float, score: float) -> float:
    """What one iteration takes, in the unit of a `step` and a `score`: of a race leg by leg, the first beside the
    control, and the training of several cuts together."""
    steps = settings.short_term_steps
    whole = steps * step + 2 * score
    if settings.search == "exact" or not proposals:
        return math.ceil((1 + proposals) / at_once) * whole
    racing, before, taken = proposals, 0, 0.0
    for until in (*rungs(steps), steps):
        leg = (until - before) * step + score
        if before:
            taken += math.ceil(racing / at_once) * leg
        else:
            taken += max(whole, (whole + racing * (leg + score)) / at_once)
        racing, before = min(racing, max(math.ceil(racing / 2), settings.race.picks)), until
    return taken + (whole if settings.race.picks > 1 else 0.0)
