"""How fast a network trains is timed on a few images, by a clock that is handed in, and trains nothing."""

from collections.abc import Callable

import numpy as np
import pytest

from adapt.errors import Stopped
from adapt.stop import never
from adapt.training.speed import LONG_ENOUGH_S, MOST_IMAGES, measure_training_speed
from tests.small_task import small_network


def ticking(seconds: Callable[[int], float]) -> Callable[[], float]:
    """Two looks at it surround a step, the n-th of which takes `seconds(n)`."""
    looks, now = 0, 0.0

    def clock() -> float:
        nonlocal looks, now
        looks += 1
        now += seconds(looks // 2) if looks % 2 == 0 else 0.0
        return now

    return clock


def test_of_a_quick_network_whole_batches_are_timed_and_the_quickest_counts() -> None:
    network, _ = small_network()
    before = {name: tensor.copy() for name, tensor in network.weights.items()}
    speed = measure_training_speed(network, None, never, ticking(lambda step: 0.064 if step % 3 else 0.128))
    assert speed.ms_per_image == pytest.approx(64 / MOST_IMAGES)
    assert speed.processes >= 1
    assert all(np.array_equal(network.weights[name], tensor) for name, tensor in before.items())


def test_of_a_slow_network_two_steps_of_a_few_images_are_enough() -> None:
    steps: list[int] = []

    def seconds(step: int) -> float:
        steps.append(step)
        return 4 * LONG_ENOUGH_S

    speed = measure_training_speed(small_network()[0], None, never, ticking(seconds))
    assert speed.ms_per_image == pytest.approx(4000 * LONG_ENOUGH_S / 4)
    assert steps == [1, 2]


def test_it_stops_when_asked_to() -> None:
    with pytest.raises(Stopped):
        measure_training_speed(small_network()[0], None, lambda: True)
