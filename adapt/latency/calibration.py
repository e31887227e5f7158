"""Makes a table agree with whole networks that were measured end to end.

A profiler counts whole microseconds and adds its own to every kernel, so the shares of small kernels are uncertain,
while the networks' latencies are not. Entries of one operator kind share their error: one factor for each kind and one
amount for the whole are looked for, near "as profiled" unless the networks say otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from adapt.latency.conditions import Conditions
from adapt.latency.predictor import Predictor, fit
from adapt.latency.table import Entry, LookupTable
from adapt.latency.units import OVERHEAD, Unit

OVERHEAD_SHAPE = "1>1"
LEAST_MS = 1e-6  # of a unit that the runtime has folded away: it was seen, and takes no time
LEAST_SHARE = 0.1  # of an entry stays, whatever is taken off it

_ROUNDS = 3  # fit, compare, correct: what the predictor's constraints swallow shows in the next
_TRUST = 0.2  # standard deviation of a kind's factor before anything was measured
_PREDICTOR_ERROR = 0.015  # of a whole network, however well it was measured
_REWEIGHTINGS = 5

Vector = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MeasuredNetwork:
    """`ms` is drift-corrected, `uncertainty` its standard error as a fraction of it."""

    units: Sequence[Unit]
    ms: float
    uncertainty: float


def agreeing_table(
    entries: Sequence[Entry], networks: Sequence[MeasuredNetwork], conditions: Conditions
) -> LookupTable:
    """The table of `entries`, corrected so that it predicts `networks`; the first of them, the original, exactly.

    Every later latency is a ratio to the original's, whose own ratio is one by definition.
    """
    overhead_ms = 0.0
    for _ in range(_ROUNDS):
        factors, amount_ms = _correction(fit(_table(entries, conditions)), networks, overhead_ms)
        overhead_ms += amount_ms
        each_ms = min(overhead_ms, 0.0) / len(networks[0].units)
        overhead_ms = max(overhead_ms, 0.0)
        entries = [_corrected(entry, factors[entry.operator], each_ms) for entry in entries]
    if overhead_ms >= LEAST_MS:
        beside = Entry(operator=OVERHEAD, shape=OVERHEAD_SHAPE, ms=overhead_ms, count=len(networks), spread=0.0)
        entries = [*entries, beside]
    table = _table(entries, conditions)
    original = networks[0]
    return replace(table, calibration=original.ms / _predicted_ms(fit(table), original))


def _correction(
    predictor: Predictor, networks: Sequence[MeasuredNetwork], overhead_ms: float
) -> tuple[dict[str, float], float]:
    """Factor by operator kind, and what to add to every network (ms, perhaps below zero)."""
    kinds = {kind: column for column, kind in enumerate(sorted(predictor.by_operator))}
    parts = np.zeros((len(networks), len(kinds) + 1))
    for row, network in enumerate(networks):
        for unit in network.units:
            parts[row, kinds[unit.operator]] += predictor.predict_unit_ms(unit.operator, unit.shape)
    total_ms = parts.sum(axis=1)
    parts[:, -1] = 1.0
    measured_ms = np.array([network.ms for network in networks])
    errors = np.array([network.uncertainty for network in networks[1:]])
    scale = measured_ms * np.array([_PREDICTOR_ERROR / 5, *np.hypot(errors, _PREDICTOR_ERROR)])
    prior = np.array([_TRUST] * len(kinds) + [float(total_ms.min())])
    missed = (measured_ms - overhead_ms - total_ms) / scale
    solution = _robust_ridge(parts / scale[:, None], missed, prior)
    return {kind: 1 + float(solution[column]) for kind, column in kinds.items()}, float(solution[-1])


def _robust_ridge(rows: Vector, wanted: Vector, prior: Vector) -> Vector:
    """Least squares with `prior` standard deviations around zero; rows far off the others count less and less."""
    weights = np.ones(len(wanted))
    solution = np.zeros(len(prior))
    for _ in range(_REWEIGHTINGS):
        lhs = np.vstack([rows * weights[:, None], np.diag(1 / prior)])
        solution = np.linalg.lstsq(lhs, np.concatenate([wanted * weights, np.zeros(len(prior))]), rcond=None)[0]
        errors = np.abs(wanted - rows @ solution)
        usual = 3 * float(np.median(errors)) + 1e-9
        weights = 1 / np.sqrt(1 + (errors / usual) ** 2)
    return solution


def _corrected(entry: Entry, factor: float, add_ms: float) -> Entry:
    return replace(entry, ms=max(entry.ms * factor + add_ms, LEAST_SHARE * entry.ms, LEAST_MS))


def _predicted_ms(predictor: Predictor, network: MeasuredNetwork) -> float:
    return sum(predictor.predict_unit_ms(unit.operator, unit.shape) for unit in network.units) + predictor.overhead_ms


def _table(entries: Sequence[Entry], conditions: Conditions) -> LookupTable:
    return LookupTable(entries=tuple(entries), calibration=1.0, conditions=conditions)
