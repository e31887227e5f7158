"""The progress bar of a terminal, and the words for each event."""

import sys
from typing import Any

import pytest

from app.cli.following import event_text, follow

JOB = {"id": "job_1", "state": "succeeded", "original": {"macs": 4000}, "result": {"macs": 2000}}


class FakeJobs:
    def get(self, job: str) -> dict[str, Any]:
        return JOB


class FakeClient:
    """A client whose job has already told all of its events."""

    def __init__(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        self._events = events
        self.jobs = FakeJobs()

    def watch(self, job: str) -> Any:
        yield from ({"id": None, "event": kind, "job": job, "data": data} for kind, data in self._events)


def test_a_terminal_gets_a_bar_and_what_is_worth_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    events = [
        ("phase", {"phase": "adapting"}),
        ("progress", {"fraction": 0.5, "iteration": 2, "proposals_done": 3, "proposals_total": 9}),
        ("message", {"text": "the rate was [halved]"}),
        ("state", {"state": "succeeded"}),
    ]
    assert follow(FakeClient(events), "job_1", as_json=False)  # type: ignore[arg-type]  # what it asks of a client
    out, err = capsys.readouterr()
    assert "the rate was [halved]" in err
    assert "done" in err
    assert "100%" in err
    assert "original: 4000 mult-adds" in out
    assert "netadapt download job_1" in out


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("state", {"state": "running"}, "state: running"),
        ("progress", {"fraction": 0.5}, None),
        ("invented-later", {"a": 1}, None),
        (
            "measurement",
            {"key": "2", "latency": {"ms": 1.234, "low": 1.2, "high": 1.3, "measured": True}},
            "measured 2: 1.234 ms (1.2 to 1.3)",
        ),
        ("measurement", {"key": "2", "latency": {"ms": 1.0, "low": 1.0, "high": 1.0, "measured": False}}, None),
        (
            "measurement",
            {"key": "original", "macs": 2000000, "accuracy": 0.5},
            "original: 2 M mult-adds, accuracy 50.00 %",
        ),
        (
            "iteration",
            {"iteration": 1, "before": {"macs": 2e6}, "constraint": {"macs": 1.5e6}, "after": None},
            "iteration 1: 2 M mult-adds; to reach 1.5 M mult-adds",
        ),
        (
            "proposal",
            {"iteration": 1, "group": "g", "state": "skipped", "reason": "too small"},
            "iteration 1, g: skipped: too small",
        ),
        (
            "proposal",
            {
                "iteration": 1,
                "group": "g",
                "state": "evaluated",
                "filters_before": 16,
                "filters_after": 8,
                "accuracy": 0.5,
            },
            "iteration 1, g: 16 -> 8, 50.00 %",
        ),
        ("checkpoint", {"checkpoint": "1", "params": 900}, "checkpoint 1: 900 parameters"),
        (
            "checkpoint",
            {"checkpoint": "1", "kind": "pick", "accuracy": 0.5},
            "checkpoint 1: accuracy 50.00 % on the hold-out",
        ),
    ],
)
def test_each_event_is_told_in_words(kind: str, data: dict[str, Any], text: str | None) -> None:
    assert event_text({"event": kind, "data": data}) == text
