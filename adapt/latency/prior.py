"""What an earlier profile of a network of the same family spares: its entries, at today's pace of the machine."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from adapt.latency.calibration import MeasuredNetwork
from adapt.latency.conditions import Conditions
from adapt.latency.predictor import ALIGNED, MIN_POINTS_OF_A_PLACE, Place, Size, fit, place_of
from adapt.latency.table import Entry, LookupTable
from adapt.latency.units import OVERHEAD, Unit

BEYOND = 1.25  # times the most channels that were measured: so far a fit is trusted outside its points
COVERED = 0.9  # of a network's units, at least, have such points


def covers(prior: LookupTable, units: Sequence[Unit], conditions: Conditions) -> bool:
    """Whether `prior` was taken under `conditions` and has points enough nearly everywhere in `units`, the original's.

    A shortcut more or less, as networks of other widths have, is seen in today's variants often enough.
    """
    if prior.conditions.fingerprint() != conditions.fingerprint():
        return False
    points: dict[Place, list[Entry]] = defaultdict(list)
    for entry in _of_operators(prior):
        points[place_of(entry.operator, entry.shape)].append(entry)
    reached = sum(_reaches(points[place_of(unit.operator, unit.shape)], Size.parse(unit.shape)) for unit in units)
    return reached >= COVERED * len(units)


def knows_counts(table: LookupTable, multiple: int) -> bool:
    """Whether `table` was taken with counts like those of a search that rounds to `multiple`: of those that no kernel
    is made for it tells nothing unless some were measured."""
    if multiple % ALIGNED == 0:
        return True
    return any("conv" in entry.operator and Size.parse(entry.shape).channels_out % ALIGNED for entry in table.entries)


def entries_today(prior: LookupTable, networks: Sequence[MeasuredNetwork]) -> list[Entry]:
    """The entries of `prior` in end-to-end milliseconds of the session in which `networks` were measured."""
    predictor = fit(replace(prior, entries=tuple(_of_operators(prior)), calibration=1.0))
    pace = statistics.median(
        network.ms / sum(predictor.predict_unit_ms(unit.operator, unit.shape) for unit in network.units)
        for network in networks
    )
    return [replace(entry, ms=entry.ms * pace) for entry in _of_operators(prior)]


def _reaches(points: Sequence[Entry], size: Size) -> bool:
    """Observations, not shapes: of a stem there may be no more than two or three."""
    if sum(point.count for point in points) < MIN_POINTS_OF_A_PLACE:
        return False
    sizes = [Size.parse(point.shape) for point in points]
    return size.channels_in <= BEYOND * max(point.channels_in for point in sizes) and (
        size.channels_out <= BEYOND * max(point.channels_out for point in sizes)
    )


def _of_operators(table: LookupTable) -> list[Entry]:
    return [entry for entry in table.entries if entry.operator != OVERHEAD]
