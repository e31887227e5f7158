"""A device that turns slow is told of, once, and measures on."""

from adapt.latency.reading import Plan, Reading
from adapt.latency.watched import QUICK_AGAIN, WatchedDevice
from tests.latency import CONDITIONS


class Slowing:
    """Its original takes `ms` of the reading's number."""

    file = "onnx"
    conditions = CONDITIONS

    def __init__(self, ms):
        self._ms = iter(ms)

    def read(self, candidate, reference, plan, stop):
        ms = next(self._ms)
        return Reading(conditions=CONDITIONS, candidate_ms=(ms / 2,) * 3, reference_ms=(ms,) * 3, runs=3)

    def close(self):
        pass


def told(ms, first_ms=None):
    said = []
    device = WatchedDevice(Slowing(ms), "phone-1", said.append, first_ms)
    ratios = {
        reading.candidate_ms[0] / reading.reference_ms[0] for reading in [device.read(b"", b"", Plan()) for _ in ms]
    }
    assert ratios == {0.5}
    return said


def test_ten_times_slower_is_told_with_name_and_factor_and_once():
    (said,) = told([2.0, 2.2, 20.0, 21.0, 19.0])
    assert "phone-1" in said
    assert "10.0 times" in said


def test_a_drift_is_not_told():
    assert told([2.0, 2.9, 1.2, 2.9]) == []


def test_cold_caches_of_a_tiny_network_are_not_told():
    assert told([0.02, 0.035, 0.035]) == []


def test_what_becomes_much_worse_is_told_again():
    assert len(told([1.0, 1.6, 1.7, 10.0, 11.0])) == 2


def test_a_second_time_is_told_after_it_was_quick_for_long():
    assert len(told([1.0, 10.0, 1.0, 10.0])) == 1
    assert len(told([1.0, 10.0, *[1.0] * QUICK_AGAIN, 10.0])) == 2


def test_a_resumed_job_compares_with_its_first_measurement():
    assert len(told([10.0], first_ms=1.0)) == 1
