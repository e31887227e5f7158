"""The crash bench's own rules, without a service."""

from typing import Any

import httpx
import pytest

from benchmarks import crash


class NothingHappens:
    """Stands for the cluster and for what disturbs it, whose next turn never comes."""

    def look_after(self) -> None: ...

    def wake(self) -> None: ...

    def close(self) -> None: ...

    def pause_s(self, _mean: float) -> float:
        return 1e9


def answer(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"id": "job_a"} if request.method == "POST" else {"state": "running"})


@pytest.mark.timeout(60)
def test_a_run_with_too_few_kills_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash, "WITHIN_S", 0.2)
    monkeypatch.setattr(crash, "LOOK_S", 0.01)
    nothing: Any = NothingHappens()
    with httpx.Client(base_url="http://bench", transport=httpx.MockTransport(answer)) as http:
        jobs = crash.Jobs(nothing, http, [{"model": "resnet18"}])
        assert jobs.disturbed(nothing, kills=1, pause_s=1.0) == ([], {"job_a": 0})
