"""Who is tried again, and in how many parts."""

from adapt.executors.attempts import Attempts
from adapt.executors.contract import Candidate
from adapt.executors.messages import Failed

KILLED = Failed("killed by signal 9", out_of_memory=True)


def parts_tried(batch: int) -> list[int]:
    """Of a candidate whose process the kernel kills for memory each time."""
    attempts = Attempts([Candidate(group="conv1", kept={}, seed=0, learning_rate=0.1)], batch)
    tried = []
    while attempts.waiting:
        attempt = attempts.take()
        tried.append(attempt.parts)
        attempts.failed(attempt, KILLED)
    return tried


def test_each_kill_for_memory_halves_what_is_computed_at_once_down_to_two_images() -> None:
    assert parts_tried(batch=16) == [1, 2, 4, 8]


def test_what_cannot_be_halved_is_tried_again_as_it_is() -> None:
    assert parts_tried(batch=4) == [1, 2, 2]
    assert parts_tried(batch=2) == [1, 1, 1]
