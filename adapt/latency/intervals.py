"""What pairs of times say: which of them were taken in a quiet moment, the median of their ratios, its interval."""

import math
import statistics
from collections.abc import Sequence

CONFIDENCE = 0.95
BUSY = 1.25
"""A block this many times slower than the quick ones around it was not alone on the machine."""
NEIGHBOURS = 15
FEWEST_QUIET = 6  # fewer have no interval at 95 %: then every pair counts, and the interval says how noisy it was


def quiet(candidate_ms: Sequence[float], reference_ms: Sequence[float]) -> list[float]:
    """The ratios of those pairs in which neither block was disturbed; of all pairs when hardly any was quiet.

    A block is judged by the lower quartile of the blocks around it: a machine that turns slow for good is as quiet
    then as it was before.
    """
    calm = [
        first and second for first, second in zip(_undisturbed(candidate_ms), _undisturbed(reference_ms), strict=True)
    ]
    ratios = [first / second for first, second in zip(candidate_ms, reference_ms, strict=True)]
    chosen = [ratio for ratio, keep in zip(ratios, calm, strict=True) if keep]
    return chosen if len(chosen) >= min(FEWEST_QUIET, len(ratios)) else ratios


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


def _undisturbed(blocks: Sequence[float]) -> list[bool]:
    verdicts = []
    for index, block in enumerate(blocks):
        begin = max(0, min(index - NEIGHBOURS // 2, len(blocks) - NEIGHBOURS))
        around = sorted(blocks[begin : begin + NEIGHBOURS])
        verdicts.append(block <= BUSY * around[len(around) // 4])
    return verdicts
