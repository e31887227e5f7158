"""What surrounds every piece of training: one thread, nothing left to chance, and a share of the machine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from adapt.errors import Stopped
from adapt.latency.machine_lock import MachineLock, TrainingHold
from adapt.stop import Stop

Pulse = Callable[[], None]
"""Called before every step and every batch of an evaluation: may wait (somebody measures) or raise Stopped."""


class Diverged(Exception):
    """The training loss is no longer a number. `step` counts from 1."""

    def __init__(self, step: int, learning_rate: float) -> None:
        super().__init__(step, learning_rate)
        self.step, self.learning_rate = step, learning_rate

    def __str__(self) -> str:
        if self.step == 1:
            return "the training loss is no finite number before the first step: no learning_rate avoids that"
        return (
            f"the training loss stopped being a finite number in step {self.step} at learning rate "
            f"{self.learning_rate:g}; a lower learning_rate avoids that"
        )


@contextmanager
def reproducible() -> Iterator[None]:
    """One thread and deterministic kernels: two thread counts sum in another order and give other weights.

    torch holds these per process, so other threads of this process train under them too meanwhile.
    """
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    memory = torch.utils.deterministic
    filling = memory.fill_uninitialized_memory  # type: ignore[attr-defined]  # missing in torch's own types
    torch.set_num_threads(1)
    # With deterministic kernels torch writes NaN into memory before they write there, which takes time in every step
    # and is for nothing: every kernel writes all of its output.
    memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # On a GPU some operators have no other kernels (the gradient of a max pooling): a job there may say so in the log.
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=warned)
        memory.fill_uninitialized_memory = filling  # type: ignore[attr-defined]
        torch.set_num_threads(threads)


@contextmanager
def supervised(lock: MachineLock | None, stop: Stop) -> Iterator[Pulse]:
    """Reproducible, with the machine's lock held shared (None: no lock); the value is the pulse to train by.

    Raises Stopped, here or from the pulse, when `stop` turns true.
    """
    with reproducible():
        if lock is None:
            yield _pulse(stop, None)
        else:
            with lock.training(stop) as hold:
                yield _pulse(stop, hold)


def _pulse(stop: Stop, hold: TrainingHold | None) -> Pulse:
    def pulse() -> None:
        if stop():
            raise Stopped("stopped while training")
        if hold is not None:
            hold.pause_point()

    return pulse
