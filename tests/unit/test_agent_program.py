"""The program on a device, against a service that the test plays: it goes on whatever is answered."""

from typing import Any

import pytest

from adapt.errors import MeasurementFailed, Stopped
from adapt.latency.reading import Plan, Reading
from app.agent.program import TRIES_FOR_A_NAME, AgentProgram
from app.client.errors import Conflict, Forbidden, Invalid, NotFound, ServiceFailed, ServiceUnreachable
from tests.latency import CONDITIONS

AWAY = ServiceUnreachable({"detail": "nobody answers"})
TAKEN = Conflict({"type": "urn:netadapt:problem:name-taken", "detail": "somebody has it"})
LOST = Conflict({"type": "urn:netadapt:problem:lease-lost", "detail": "another has it"})
READING = Reading(conditions=CONDITIONS, candidate_ms=(1.0,), reference_ms=(2.0,), runs=1)
TASK = {
    "id": "tsk_a",
    "lease": 1,
    "plan": Plan().to_document(),
    "candidate": {"sha256": "c", "url": "/c"},
    "reference": {"sha256": "r", "url": "/r"},
}


class Service:
    """Answers a claim, a fetch or an answer with the next of its script, and then as if all were well; when nothing is
    left to claim, Ctrl-C is pressed."""

    def __init__(self, *claims: Any, fetches: tuple[Any, ...] = (), answers: tuple[Any, ...] = ()) -> None:
        self._claims, self._fetches, self._answers = list(claims), list(fetches), list(answers)
        self.answered: list[Any] = []
        self.fetched: list[str] = []

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def claim(self, introduction: Any, *, wait_s: int = 20) -> Any:
        if not self._claims:
            raise KeyboardInterrupt
        return raised_or_given(self._claims.pop(0))

    def fetch(self, file: dict[str, str]) -> bytes:
        self.fetched.append(file["sha256"])
        raised_or_given(self._fetches.pop(0) if self._fetches else None)
        return file["sha256"].encode()

    def answer(self, task: Any, document: Any) -> None:
        raised_or_given(self._answers.pop(0) if self._answers else None)
        self.answered.append(document)

    def renew(self, task: Any) -> None:
        pass


def raised_or_given(step: Any) -> Any:
    if isinstance(step, Exception):
        raise step
    return step


class Device:
    file = "onnx"
    conditions = CONDITIONS

    def __init__(self, *outcomes: Any) -> None:
        self._outcomes = list(outcomes)

    def read(self, candidate: bytes, reference: bytes, plan: Plan, stop: Any) -> Reading:
        assert (candidate, reference, plan) == (b"c", b"r", Plan())
        found = raised_or_given(self._outcomes.pop(0) if self._outcomes else READING)
        assert isinstance(found, Reading)
        return found

    def close(self) -> None:
        pass


def run(service: Service, *outcomes: Any) -> list[str]:
    """What it said until Ctrl-C."""
    said: list[str] = []
    program = AgentProgram(
        lambda: service,  # type: ignore[arg-type, return-value]
        {},
        Device(*outcomes),  # type: ignore[arg-type]
        said.append,
        sleep=lambda seconds: None,
    )
    with pytest.raises(KeyboardInterrupt):
        program.run()
    return said


def test_it_measures_one_task_after_the_other_and_fetches_the_reference_once() -> None:
    service = Service(None, TASK, None, TASK)
    (said,) = run(service)
    assert "ready" in said
    assert service.answered == [READING.to_document()] * 2
    assert service.fetched == ["c", "r", "c"]


def test_what_is_lost_and_what_is_back_is_said_once_each_and_nothing_is_measured_twice() -> None:
    failing = ServiceFailed({"detail": "restarting"})
    service = Service(AWAY, AWAY, failing, None, TASK, answers=(AWAY, failing, AWAY))
    said = run(service)
    assert [line.partition(":")[0] for line in said] == [
        "the service is lost, trying again",
        "the service is back",
        "ready to measure; Ctrl-C ends it",
        "the service is lost, trying again",
        "the service is back",
    ]
    assert service.answered == [READING.to_document()]


@pytest.mark.parametrize("ended", [LOST, NotFound({"detail": "gone"})])
def test_a_task_that_is_not_its_own_any_more_is_let_go(ended: Exception) -> None:
    service = Service(TASK, TASK, TASK, fetches=(ended,), answers=(ended,))
    run(service)
    assert service.answered == [READING.to_document()]


def test_a_task_that_is_taken_back_while_it_measures_is_let_go() -> None:
    service = Service(TASK, TASK)
    run(service, Stopped("taken back"))
    assert service.answered == [READING.to_document()]


def test_what_it_cannot_measure_is_answered_with_the_reason() -> None:
    service = Service(TASK)
    run(service, MeasurementFailed("onnxruntime", "the network was refused" + "!" * 9000))
    (answer,) = service.answered
    assert answer["failed"].startswith("onnxruntime: the network was refused")
    assert len(answer["failed"]) <= 2000


def test_a_reading_that_the_service_refuses_is_answered_with_the_reason() -> None:
    service = Service(TASK, answers=(Invalid({"detail": "candidate_ms[0]: is not a number"}),))
    run(service)
    assert "candidate_ms[0]" in service.answered[0]["failed"]


def test_it_waits_for_a_name_that_becomes_free_and_ends_when_it_does_not() -> None:
    run(Service(TAKEN, TAKEN, None))
    with pytest.raises(Conflict):
        run(Service(*[TAKEN] * (TRIES_FOR_A_NAME + 1)))


@pytest.mark.parametrize("refusal", [Forbidden({"detail": "no"}), LOST])
def test_what_does_not_pass_ends_it(refusal: Exception) -> None:
    with pytest.raises(type(refusal)):
        run(Service(refusal))
