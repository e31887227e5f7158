"""What every runtime promises. Implementations: onnxruntime, torch; tests/integration/test_runtime_contract.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from adapt.latency.conditions import Conditions


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One kernel as the runtime ran it, in order of execution.

    `name` is the runtime's own, made from the name of a node of ours where it has one; `ms` is the mean over the
    runs that were profiled, the profiler's own cost included.
    """

    name: str
    operator: str
    ms: float


class Session(Protocol):
    """A network made ready to run. Not thread-safe."""

    def time_ms(self, repeats: int) -> list[float]:
        """Milliseconds of each of `repeats` runs, one after the other, on the same random input.

        What a user would wait: from images in the host's memory to scores there, whatever runs the kernels.
        """
        ...

    def close(self) -> None:
        """Gives memory and threads back; safe to call twice."""
        ...


class Runtime(Protocol):
    """Runs files that we wrote ourselves (RuntimeChoice.file says of which kind), never what a user sent.

    Duties: the conditions hold for every session; a network that cannot be loaded or run raises MeasurementFailed, and
    so does one of which nothing runs where the provider was asked to; the caller holds the machine's lock.
    """

    @property
    def conditions(self) -> Conditions: ...

    def load(self, file: bytes) -> Session: ...

    def profile(self, file: bytes, repeats: int) -> Sequence[Kernel]:
        """The kernels of one run, averaged over `repeats` runs after a warm-up."""
        ...
