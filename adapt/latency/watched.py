"""A device that says when it has become slow: heat makes a phone throttle, and a machine may have got other work.

Figures are corrected for it, since each is paired with the original's; but whoever waits should know.
"""

import statistics
from collections.abc import Callable

from adapt.latency.conditions import Conditions
from adapt.latency.device import Device
from adapt.latency.reading import Plan, Reading
from adapt.latency.runtimes.choice import NetworkFile
from adapt.stop import Stop, never

SLOW = 1.5
"""Times what the original took at first: no drift of a machine that is left alone. Told again when it is as much worse
than what was told, or after so many quick readings in a row:"""
QUICK_AGAIN = 10
COLD_MS = 0.05  # what cold caches alone may add: a tiny network is quicker beside itself than beside another


class WatchedDevice:
    """`device`, whose references must all be versions of one network. `first_ms` is what that took at the job's first
    measurement, as far as it is known. `tell` hears in words that it has become slow."""

    def __init__(self, device: Device, name: str, tell: Callable[[str], None], first_ms: float | None = None) -> None:
        self._device, self._name, self._tell = device, name, tell
        self._first_ms = first_ms
        self._told, self._quick = 1.0, 0

    @property
    def file(self) -> NetworkFile:
        return self._device.file

    @property
    def conditions(self) -> Conditions:
        return self._device.conditions

    def read(self, candidate: bytes, reference: bytes, plan: Plan, stop: Stop = never) -> Reading:
        reading = self._device.read(candidate, reference, plan, stop)
        self._watch(statistics.median(reading.reference_ms))
        return reading

    def close(self) -> None:
        self._device.close()

    def _watch(self, now_ms: float) -> None:
        if self._first_ms is None:
            self._first_ms = now_ms
        factor = now_ms / self._first_ms if now_ms - self._first_ms > COLD_MS else 1.0
        self._quick = self._quick + 1 if factor <= SLOW else 0
        if self._quick >= QUICK_AGAIN:
            self._told = 1.0
        if factor > SLOW * self._told:
            self._told = factor
            self._tell(
                f"{self._name} has become slow: the original takes {now_ms:.3g} ms there now, {factor:.1f} times the "
                f"{self._first_ms:.3g} ms of the first measurement (it is throttled, or busy); figures are corrected"
            )
