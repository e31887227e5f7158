"""What pairs of times say: which of them were taken in a quiet moment, their ratios, the interval of a median."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
QUICK = 1.08
"""A block that takes at most so many times the level of the quick ones had the machine to itself."""
LEVEL = 0.1  # the quantile of blocks that is their quick level
FEWEST_QUIET = 6  # fewer have no interval at 95 %: then more pairs count, and the interval says how noisy it was


@dataclass(frozen=True, kw_only=True)
class PairedRatios:
    """`counted` are the ratios that the figures are made of, `original_ms` the reference's blocks beside them; `quiet`
    of all `pairs` were taken in a quiet moment."""

    counted: tuple[float, ...]
    original_ms: tuple[float, ...]
    quiet: int
    pairs: int

    @property
    def undisturbed(self) -> bool:
        """Whether those that count were quiet ones."""
        return self.quiet == len(self.counted)


def paired_ratios(
    candidate_ms: Sequence[float], reference_ms: Sequence[float], level_ms: float | None = None
) -> PairedRatios:
    """Each block of the candidate over the mean of the reference's before and after it, so that a drift cancels.

    The reference tells the machine's state, as a thermometer does: a pair counts when both of its references were
    quick, and the candidate's block too, beside others in such moments. Where the whole reading was disturbed
    (`level_ms` is the reference's quick level from before), what was quick within it counts; else everything.
    """
    after = (*reference_ms[1:], reference_ms[-1])
    ratios = [2 * c / (before + then) for c, before, then in zip(candidate_ms, reference_ms, after, strict=True)]
    own_ms = quick_level(reference_ms)
    quiet = _quiet(candidate_ms, reference_ms, after, own_ms if level_ms is None else min(level_ms, own_ms))
    counted = quiet
    if len(counted) < FEWEST_QUIET:
        counted = _quiet(candidate_ms, reference_ms, after, own_ms)
    if len(counted) < FEWEST_QUIET:
        counted = list(range(len(ratios)))
    return PairedRatios(
        counted=tuple(ratios[index] for index in counted),
        original_ms=tuple(reference_ms[index] for index in counted),
        quiet=len(quiet),
        pairs=len(ratios),
    )


def quick_level(blocks: Sequence[float]) -> float:
    """What a block takes when the machine is left alone, as far as `blocks` show; not the minimum, which may be a
    clock's mistake."""
    return sorted(blocks)[int(LEVEL * len(blocks))]


def quick_runs_mean(kernels_ms: Sequence[Sequence[float]]) -> list[float]:
    """Of each kernel, given run by run, the mean over those runs that were quick as a whole.

    A mean, since a median would stay on a profiler's whole microseconds; and whole runs, since the quick moments of
    several kernels, picked apart, add up to a run that never was.
    """
    totals = [math.fsum(run) for run in zip(*kernels_ms, strict=True)]
    limit = max(QUICK * quick_level(totals), sorted(totals)[len(totals) // 4])
    quick = [index for index, total in enumerate(totals) if total <= limit]
    return [math.fsum(kernel[index] for index in quick) / len(quick) for kernel in kernels_ms]


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


def half_width(values: Sequence[float]) -> float:
    """Of the median's interval, as a fraction of the median."""
    low, high = median_interval(values)
    return (high - low) / 2 / statistics.median(values)


def _quiet(
    candidate_ms: Sequence[float], before_ms: Sequence[float], after_ms: Sequence[float], level_ms: float
) -> list[int]:
    """Which pairs were undisturbed, by the reference around them and by the candidate itself."""
    pairs = zip(before_ms, after_ms, strict=True)
    calm = [index for index, both in enumerate(pairs) if max(both) <= QUICK * level_ms]
    if not calm:
        return []
    # As strict as with the reference, or noise that is no state of the machine would bias the ratio.
    quick_ms = min(quick_level(candidate_ms), sorted(candidate_ms[index] for index in calm)[len(calm) // 4])
    return [index for index in calm if candidate_ms[index] <= QUICK * quick_ms]
