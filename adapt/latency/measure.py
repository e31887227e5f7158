"""End-to-end latency from a reading: paired with the original network, so that the machine's drift cancels."""

import statistics
from dataclasses import dataclass

from adapt.latency.device import Device
from adapt.latency.intervals import median_interval, paired_ratios
from adapt.latency.reading import Plan, Reading
from adapt.stop import Stop, never

BUSY_ERROR = 0.05


@dataclass(frozen=True, kw_only=True)
class PairedMeasurement:
    """A network's latency beside the original's, taken in one interleaved session.

    `ratio` is the median of the ratios of neighbouring blocks in quiet moments and `ratio_low`, `ratio_high` its
    confidence interval (at least 95 %, from order statistics, so it holds whatever the noise is distributed like).
    `ms`, `low`, `high` are these times what the original took when it was first measured. `original_ms` is its median
    in this session, in the same moments. `runs` counts the runs of the candidate, `disturbed` is the share of pairs in
    which the machine was busy; `quiet` is false where hardly any other was there and busy moments had to do. `spread`
    is the interquartile range of the counted ratios over `ratio`.
    """

    ms: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    original_ms: float
    runs: int
    disturbed: float
    quiet: bool
    spread: float

    @property
    def uncertainty(self) -> float:
        """The ratio's standard error, as a fraction of it. Busy moments slow networks down unequally."""
        noise = (self.ratio_high - self.ratio_low) / 4 / self.ratio
        return noise if self.quiet else noise + BUSY_ERROR


def evaluated(reading: Reading, original_then_ms: float | None = None) -> PairedMeasurement:
    """The figures of a reading whose reference was the original. `original_then_ms` is the recorded latency that
    decisions rest on; None takes this session's own."""
    pairs = paired_ratios(reading.candidate_ms, reading.reference_ms, reading.reference_level_ms)
    ratios = pairs.counted
    ratio = statistics.median(ratios)
    low, high = median_interval(ratios)
    original_ms = statistics.median(pairs.original_ms)
    then_ms = original_ms if original_then_ms is None else original_then_ms
    quarter, _, three_quarters = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else (ratio, ratio, ratio)
    return PairedMeasurement(
        ms=ratio * then_ms,
        low=low * then_ms,
        high=high * then_ms,
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
        original_ms=original_ms,
        runs=reading.runs,
        disturbed=1 - pairs.quiet / pairs.pairs,
        quiet=pairs.undisturbed,
        spread=(three_quarters - quarter) / ratio,
    )


def surest_reading(device: Device, candidate: bytes, reference: bytes, plan: Plan, stop: Stop = never) -> Reading:
    """Taken once more where the machine was busy all the while. Raises as `Device.read` does."""
    first = device.read(candidate, reference, plan, stop)
    if evaluated(first).quiet:
        return first
    again = device.read(candidate, reference, plan, stop)
    return min(first, again, key=lambda reading: evaluated(reading).uncertainty)


def evaluated_original(reading: Reading) -> PairedMeasurement:
    """The figures of the original beside itself: as the unit of every later ratio it has its own median, not a ratio to
    itself, for its figure."""
    found = evaluated(reading)
    return evaluated(reading, found.original_ms / found.ratio)
