"""The device's side of measuring, the same on this machine and on an agent's: numpy and a runtime are all it needs.

Reference and candidate are timed in short blocks, one after the other, so that the machine's drift cancels in their
ratio. On a shared machine another's work makes everything slower by half, for a tenth of a second or for seconds: the
reference, whose quick level is known after a while, shows in which moments that was so, and those are taken again.
"""

import hashlib
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence

from adapt.errors import Stopped
from adapt.latency.intervals import half_width, paired_ratios, quick_level
from adapt.latency.reading import Plan, Reading
from adapt.latency.runtimes.contract import Kernel, Runtime, Session
from adapt.stop import Stop, never

Clock = Callable[[], float]

BLOCK_S = 0.01  # a block lasts about this long: short against the drift, long against a timer tick
MAX_RUNS_PER_BLOCK = 200
WARM_UP_RUNS, WARM_UP_S = 2, 0.02
"""At the beginning of a block, which finds the other network in the caches: a run takes up to a fifth longer then, the
next one a tenth. Fewer of them where they would take longer than this in all: a long run feels little of that."""
REMEMBERED_BLOCKS = 10_000
"""Of the reference: some minutes of measuring, since another's work may slow everything down for two of them. A machine
that turns slow for good is believed when the quick blocks are a small part of these."""
MIN_PROFILED, MAX_PROFILED = 5, 60  # runs under the profiler
PROFILES = 3  # are taken at most, when the first ones fell into a busy moment
SLOW_PROFILE = 1.2  # times what the candidate takes: that is more than a profiler's own cost


class Bench:
    """Takes readings with one runtime. The reference's session stays open from one reading to the next."""

    def __init__(self, runtime: Runtime, clock: Clock = time.perf_counter) -> None:
        self._runtime, self._clock = runtime, clock
        self._reference: Session | None = None
        self._reference_key = ""
        self._reference_ms: deque[float] = deque(maxlen=REMEMBERED_BLOCKS)

    def read(self, candidate: bytes, reference: bytes, plan: Plan, stop: Stop = never) -> Reading:
        """Both files are of the runtime's kind. The machine must be left to this process meanwhile.

        Raises MeasurementFailed, and Stopped between two blocks.
        """
        second = self._open_reference(reference)
        first = self._runtime.load(candidate)
        try:
            pairs = _Pairs(first, second, self._reference_ms)
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
            kernels=tuple(self._profile(candidate, pairs, plan)),
            reference_level_ms=pairs.level_ms,
        )

    def close(self) -> None:
        """Safe to call twice."""
        if self._reference is not None:
            self._reference.close()
        self._reference, self._reference_key = None, ""
        self._reference_ms.clear()

    def _open_reference(self, reference: bytes) -> Session:
        key = hashlib.sha256(reference).hexdigest()
        if self._reference is None or key != self._reference_key:
            self.close()
            self._reference, self._reference_key = self._runtime.load(reference), key
        return self._reference

    def _profile(self, candidate: bytes, pairs: "_Pairs", plan: Plan) -> Sequence[Kernel]:
        """The quickest of as many profiles as it takes to meet a quiet moment."""
        if not plan.profile_s:
            return ()
        usual_ms = pairs.quick_candidate_ms
        runs = max(MIN_PROFILED, min(MAX_PROFILED, round(1000 * plan.profile_s / usual_ms)))
        best: Sequence[Kernel] = ()
        for _ in range(PROFILES):
            kernels = self._runtime.profile(candidate, runs)
            best = min(best or kernels, kernels, key=_total_ms)
            if _total_ms(best) <= SLOW_PROFILE * usual_ms:
                break
        return best

    @staticmethod
    def _is_enough(pairs: "_Pairs", elapsed_s: float, plan: Plan) -> bool:
        """Only quiet moments count, as long as there are any."""
        if len(pairs.candidate_ms) < plan.minimum_pairs:
            return False
        if elapsed_s >= plan.patience * plan.maximum_s:
            return True
        ratios = paired_ratios(pairs.candidate_ms, pairs.reference_ms, pairs.level_ms)
        if ratios.quiet < plan.minimum_pairs or elapsed_s < plan.minimum_s:
            return False
        return elapsed_s >= plan.maximum_s or half_width(ratios.counted) <= plan.half_width


class _Pairs:
    """Blocks of both networks in turns, the reference first; `remembered` are the reference's, also of before."""

    def __init__(self, candidate: Session, reference: Session, remembered: deque[float]) -> None:
        self._candidate, self._reference, self._remembered = candidate, reference, remembered
        self._repeats = _runs_per_block(candidate), _runs_per_block(reference)
        self.candidate_ms: list[float] = []
        self.reference_ms: list[float] = []

    @property
    def runs(self) -> int:
        return sum(self._repeats[0]) * len(self.candidate_ms)

    @property
    def level_ms(self) -> float:
        return quick_level(self._remembered)

    @property
    def quick_candidate_ms(self) -> float:
        """What the candidate takes where the reference is at its level."""
        ratios = paired_ratios(self.candidate_ms, self.reference_ms, self.level_ms)
        return statistics.median(ratios.counted) * self.level_ms

    def add(self) -> None:
        self.reference_ms.append(_block_ms(self._reference, *self._repeats[1]))
        self.candidate_ms.append(_block_ms(self._candidate, *self._repeats[0]))
        self._remembered.append(self.reference_ms[-1])


def _block_ms(session: Session, warm_up: int, timed: int) -> float:
    return statistics.median(session.time_ms(warm_up + timed)[warm_up:])


def _total_ms(kernels: Sequence[Kernel]) -> float:
    return sum(kernel.ms for kernel in kernels)


def _runs_per_block(session: Session) -> tuple[int, int]:
    """To warm up, and timed."""
    one_run_s = max(min(session.time_ms(3)) / 1000, 1e-9)
    return min(WARM_UP_RUNS, int(WARM_UP_S / one_run_s)), max(1, min(MAX_RUNS_PER_BLOCK, round(BLOCK_S / one_run_s)))
