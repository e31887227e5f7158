"""End-to-end latency, paired with the original network so that the machine's drift cancels."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapt.errors import Stopped
from adapt.latency.runtimes.contract import Runtime, Session
from adapt.stop import Stop, never

Clock = Callable[[], float]

CONFIDENCE = 0.95
BLOCK_S = 0.01  # a block lasts about this long: short against the drift, long against a timer tick
MIN_PAIRS = 15
MAX_RUNS_PER_BLOCK = 50


@dataclass(frozen=True, kw_only=True)
class PairedMeasurement:
    """A network's latency beside the original's, taken in one interleaved session.

    `ratio` is the median of the ratios of neighbouring blocks and `ratio_low`, `ratio_high` its confidence interval
    (at least 95 %, from order statistics, so it holds whatever the noise is distributed like). `ms`, `low`, `high`
    are these times what the original took when it was first measured. `original_ms` is its median in this session.
    `runs` counts the runs of the candidate; `spread` is the interquartile range of the pairs' ratios over `ratio`.
    """

    ms: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    original_ms: float
    runs: int
    spread: float


def measure(
    candidate_onnx: bytes,
    original_onnx: bytes,
    runtime: Runtime,
    *,
    original_then_ms: float | None = None,
    half_width: float = 0.01,
    minimum_seconds: float = 0.3,
    maximum_seconds: float = 4.0,
    stop: Stop = never,
    clock: Clock = time.perf_counter,
) -> PairedMeasurement:
    """Times both files in short blocks, candidate, original, original, candidate ..., until the interval is narrow.

    It goes on until the half-width of the ratio's interval is at most `half_width` of the ratio, and ends after
    `maximum_seconds` with whatever interval there is. `original_then_ms` is the recorded latency that decisions rest
    on; None takes this session's own. The caller holds the machine's lock. Raises MeasurementFailed, and Stopped
    between two blocks.
    """
    candidate, original = runtime.load(candidate_onnx), runtime.load(original_onnx)
    try:
        pairs = Pairs(candidate, original)
        started = clock()
        while True:
            if stop():
                raise Stopped("stopped while measuring")
            pairs.add()
            elapsed = clock() - started
            if len(pairs.ratios) < MIN_PAIRS:
                continue
            if elapsed >= maximum_seconds or (elapsed >= minimum_seconds and pairs.half_width() <= half_width):
                return pairs.result(original_then_ms)
    finally:
        candidate.close()
        original.close()


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The narrowest pair of order statistics, symmetric in rank, that holds the median with `confidence`.

    The sign test turned round: the number of values below the median is binomial with p = 1/2. With fewer than six
    values no pair does at 95 %; the extremes are returned.
    """
    ordered = sorted(values)
    count = len(ordered)
    outside, rank = 0.0, 0
    while rank < count // 2:
        outside += 2 * math.comb(count, rank) / 2**count
        if outside > 1 - confidence:
            break
        rank += 1
    rank = max(rank - 1, 0)
    return ordered[rank], ordered[count - 1 - rank]


class Pairs:
    """Blocks of both networks, one after the other, and what follows from them. Two sessions stay open meanwhile."""

    def __init__(self, candidate: Session, original: Session) -> None:
        self._sessions = (candidate, original)
        self._repeats = tuple(_runs_per_block(session) for session in self._sessions)
        self._originals: list[float] = []
        self.ratios: list[float] = []

    def add(self) -> None:
        """One block of each. The order turns round from pair to pair, so that a steady drift cancels as well."""
        blocks = [0.0, 0.0]
        for which in (0, 1) if len(self.ratios) % 2 == 0 else (1, 0):
            blocks[which] = statistics.median(self._sessions[which].time_ms(self._repeats[which]))
        self._originals.append(blocks[1])
        self.ratios.append(blocks[0] / blocks[1])

    def half_width(self) -> float:
        """Of the interval, as a fraction of the ratio."""
        low, high = median_interval(self.ratios)
        return (high - low) / 2 / statistics.median(self.ratios)

    def result(self, original_then_ms: float | None) -> PairedMeasurement:
        ratio = statistics.median(self.ratios)
        low, high = median_interval(self.ratios)
        original_ms = statistics.median(self._originals)
        then_ms = original_ms if original_then_ms is None else original_then_ms
        quarter, _, three_quarters = statistics.quantiles(self.ratios, n=4)
        return PairedMeasurement(
            ms=ratio * then_ms,
            low=low * then_ms,
            high=high * then_ms,
            ratio=ratio,
            ratio_low=low,
            ratio_high=high,
            original_ms=original_ms,
            runs=self._repeats[0] * len(self.ratios),
            spread=(three_quarters - quarter) / ratio,
        )


def _runs_per_block(session: Session) -> int:
    one_run_s = statistics.median(session.time_ms(3)) / 1000
    return max(1, min(MAX_RUNS_PER_BLOCK, round(BLOCK_S / max(one_run_s, 1e-9))))
