"""Where latency is measured, as the search sees it: this machine, or an agent's on the other side of a network."""

import time
from typing import Protocol

from adapt.latency.bench import Bench, Clock
from adapt.latency.conditions import Conditions
from adapt.latency.reading import Plan, Reading
from adapt.latency.runtimes.choice import NetworkFile
from adapt.latency.runtimes.contract import Runtime
from adapt.stop import Stop, never


class Device(Protocol):
    """Not safe to share between threads."""

    @property
    def file(self) -> NetworkFile:
        """What it runs."""
        ...

    @property
    def conditions(self) -> Conditions:
        """Under which it measures now. Raises MeasurementFailed where it cannot measure at all."""
        ...

    def read(self, candidate: bytes, reference: bytes, plan: Plan, stop: Stop = never) -> Reading:
        """`candidate` beside `reference`, both files that we wrote, with the device left to them meanwhile.

        Raises MeasurementFailed, and Stopped when `stop` turns true.
        """
        ...

    def close(self) -> None:
        """Gives back what it holds; safe to call twice."""
        ...


class InProcess:
    """A device in this process and without the machine's lock: for benchmarks and tests that are alone."""

    def __init__(self, runtime: Runtime, file: NetworkFile = "onnx", clock: Clock = time.perf_counter) -> None:
        self.file = file
        self.conditions = runtime.conditions
        self._bench = Bench(runtime, clock)

    def read(self, candidate: bytes, reference: bytes, plan: Plan, stop: Stop = never) -> Reading:
        return self._bench.read(candidate, reference, plan, stop)

    def close(self) -> None:
        self._bench.close()
