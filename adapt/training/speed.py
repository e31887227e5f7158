"""How fast a network trains on this machine: measured on a few images, to say beforehand how long a job may take."""

import os
import time
from collections.abc import Callable

import torch

from adapt.graph.network import Network
from adapt.graph.shapes import infer_shapes
from adapt.latency.machine_lock import MachineLock
from adapt.spec import TrainingSpeed
from adapt.stop import Stop
from adapt.training.losses import cross_entropy
from adapt.training.sgd import trainable_module
from adapt.training.supervision import supervised

LONG_ENOUGH_S = 0.2
FEWEST_IMAGES, MOST_IMAGES = 4, 64
MOST_REPEATS = 10


def measure_training_speed(
    network: Network, lock: MachineLock | None, stop: Stop, clock: Callable[[], float] = time.perf_counter
) -> TrainingSpeed:
    """Of forward and backward pass, one thread, over more and more random images until a step is long enough to time.

    Nothing is trained. Takes about half a second, or two steps of a few images where that is longer. Rough: the
    quickest of a few steps, so that a busy moment does not count. Raises Stopped.
    """
    loss = cross_entropy(trainable_module(network))
    classes = infer_shapes(network.graph)[network.graph.output][1]

    def step_s(images: int) -> float:
        pixels = torch.randn(images, *network.graph.input_shape).to(memory_format=torch.channels_last)
        labels = torch.randint(classes, (images,))
        pulse()
        started = clock()
        loss(pixels, labels).backward()  # type: ignore[no-untyped-call]
        return clock() - started

    with supervised(lock, stop) as pulse, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        images = FEWEST_IMAGES
        step_s(images)  # the first one sets torch up
        while (seconds := step_s(images)) < LONG_ENOUGH_S and images < MOST_IMAGES:
            images *= 2
        more = [step_s(images) for _ in range(min(MOST_REPEATS, int(LONG_ENOUGH_S / max(seconds, 1e-6))))]
    return TrainingSpeed(ms_per_image=1000 * min([seconds, *more]) / images, processes=len(os.sched_getaffinity(0)))
