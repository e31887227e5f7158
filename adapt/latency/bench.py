"""The device's side of measuring, the same on this machine and on an agent's: numpy and a runtime are all it needs.

Candidate and reference are timed in short blocks, one after the other, so that the machine's drift cancels in their
ratio. When a machine is busy for a moment both blocks of that moment are taken again.
"""

import hashlib
import statistics
import time
from collections.abc import Callable, Sequence

from adapt.errors import Stopped
from adapt.latency.intervals import half_width, quiet
from adapt.latency.reading import Plan, Reading
from adapt.latency.runtimes.contract import Kernel, Runtime, Session
from adapt.stop import Stop, never

Clock = Callable[[], float]

BLOCK_S = 0.01  # a block lasts about this long: short against the drift, long against a timer tick
MAX_RUNS_PER_BLOCK = 50
MIN_PROFILED, MAX_PROFILED = 5, 60  # runs under the profiler


class Bench:
    """Takes readings with one runtime. The reference's session stays open from one reading to the next."""

    def __init__(self, runtime: Runtime, clock: Clock = time.perf_counter) -> None:
        self._runtime, self._clock = runtime, clock
        self._reference: Session | None = None
        self._reference_key = ""

    def read(self, candidate: bytes, reference: bytes, plan: Plan, stop: Stop = never) -> Reading:
        """Both files are of the runtime's kind. The machine must be left to this process meanwhile.

        Raises MeasurementFailed, and Stopped between two blocks.
        """
        second = self._open_reference(reference)
        first = self._runtime.load(candidate)
        try:
            pairs = _Pairs(first, second)
            started = self._clock()
            while not self._is_enough(pairs, self._clock() - started, plan):
                if stop():
                    raise Stopped("stopped while measuring")
                pairs.add()
        finally:
            first.close()
        return Reading(
            conditions=self._runtime.conditions,
            candidate_ms=tuple(pairs.candidate_ms),
            reference_ms=tuple(pairs.reference_ms),
            runs=pairs.runs,
            kernels=tuple(self._profile(candidate, pairs.candidate_ms, plan)),
        )

    def close(self) -> None:
        """Safe to call twice."""
        if self._reference is not None:
            self._reference.close()
        self._reference, self._reference_key = None, ""

    def _open_reference(self, reference: bytes) -> Session:
        key = hashlib.sha256(reference).hexdigest()
        if self._reference is None or key != self._reference_key:
            self.close()
            self._reference, self._reference_key = self._runtime.load(reference), key
        return self._reference

    def _profile(self, candidate: bytes, candidate_ms: Sequence[float], plan: Plan) -> Sequence[Kernel]:
        if not plan.profile_s:
            return ()
        wanted = round(1000 * plan.profile_s / statistics.median(candidate_ms))
        return self._runtime.profile(candidate, max(MIN_PROFILED, min(MAX_PROFILED, wanted)))

    @staticmethod
    def _is_enough(pairs: "_Pairs", elapsed_s: float, plan: Plan) -> bool:
        """Only quiet moments count, as long as there are any."""
        if len(pairs.candidate_ms) < plan.minimum_pairs:
            return False
        if elapsed_s >= plan.maximum_s:
            return True
        ratios = quiet(pairs.candidate_ms, pairs.reference_ms)
        enough = len(ratios) >= plan.minimum_pairs and elapsed_s >= plan.minimum_s
        return enough and half_width(ratios) <= plan.half_width


class _Pairs:
    """Blocks of both networks, one after the other."""

    def __init__(self, candidate: Session, reference: Session) -> None:
        self._sessions = (candidate, reference)
        self._repeats = tuple(_runs_per_block(session) for session in self._sessions)
        self.candidate_ms: list[float] = []
        self.reference_ms: list[float] = []

    @property
    def runs(self) -> int:
        return self._repeats[0] * len(self.candidate_ms)

    def add(self) -> None:
        """One block of each. The order turns round from pair to pair, so that a steady drift cancels as well."""
        blocks = [0.0, 0.0]
        for which in (0, 1) if len(self.candidate_ms) % 2 == 0 else (1, 0):
            blocks[which] = statistics.median(self._sessions[which].time_ms(self._repeats[which]))
        self.candidate_ms.append(blocks[0])
        self.reference_ms.append(blocks[1])


def _runs_per_block(session: Session) -> int:
    one_run_s = statistics.median(session.time_ms(3)) / 1000
    return max(1, min(MAX_RUNS_PER_BLOCK, round(BLOCK_S / max(one_run_s, 1e-9))))
