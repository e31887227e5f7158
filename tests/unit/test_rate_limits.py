"""Token buckets on a clock that the test turns."""

from app.rate_limits import MAX_KNOWN, Buckets, Rate


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_allowed_and_then_as_much_as_flows_in() -> None:
    clock = Clock()
    buckets = Buckets(Rate(per_s=2, burst=5), clock=clock)
    assert [buckets.take("ann") for _ in range(5)] == [0] * 5
    assert buckets.take("ann") == 0.5
    clock.now += 0.5
    assert [buckets.take("ann"), buckets.take("ann")] == [0, 0.5]
    clock.now += 1000
    assert [buckets.take("ann") for _ in range(6)] == [0] * 5 + [0.5]


def test_a_refused_one_costs_nothing_and_looking_neither() -> None:
    clock = Clock()
    buckets = Buckets(Rate(per_s=1, burst=1), clock=clock)
    assert buckets.wait_s("ann") == 0
    assert [buckets.take("ann"), *(buckets.take("ann") for _ in range(10))] == [0] + [1] * 10
    assert buckets.wait_s("ann") == 1
    clock.now += 1
    assert buckets.take("ann") == 0


def test_everybody_has_a_bucket_of_their_own_and_memory_has_an_end() -> None:
    buckets = Buckets(Rate(per_s=1, burst=1), clock=Clock())
    assert [buckets.take(str(number)) for number in range(MAX_KNOWN + 10)] == [0] * (MAX_KNOWN + 10)
    assert len(buckets._buckets) == MAX_KNOWN
    assert buckets.take(str(MAX_KNOWN)) == 1


def test_a_rate_of_nothing_limits_nothing() -> None:
    buckets = Buckets(Rate(per_s=0, burst=1), clock=Clock())
    assert [buckets.take("ann") for _ in range(100)] == [0] * 100
    assert buckets.wait_s("ann") == 0
