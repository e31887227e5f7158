"""The user's way on PostgreSQL, whose server goes away in the middle of a job."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.client import Client
from benchmarks.live_service import live_service
from tests.acceptance.test_adapt_a_network import final_sha256
from tests.acceptance.test_kills import SETTINGS
from tests.databases import start_postgres

LEASE_S = 3.0


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """Of this module alone: it is stopped and started."""
    server = start_postgres()
    yield server
    server.cleanup()


@pytest.fixture(scope="module")
def address(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETADAPT_DATABASE_URL", server.get_uri())
        patch.setenv("NETADAPT_LEASE_S", f"{LEASE_S:g}")
        with live_service(tmp_path_factory.mktemp("service")) as address:
            yield address


@pytest.mark.timeout(480)  # two jobs, and a database that is away in between
def test_a_job_outlives_its_database_and_ends_as_if_nothing_had_been(address: str, server: Any, net_file) -> None:
    with Client(address) as client:
        model = client.models.add(net_file)["id"]
        undisturbed = client.submit(model, budget={"macs": "55%"}, settings=SETTINGS)["id"]
        assert client.wait(undisturbed)["state"] == "succeeded"
        job = client.submit(model, budget={"macs": "55%"}, settings=SETTINGS)["id"]
        proposals = (event for event in client.watch(job) if event["event"] == "proposal")
        next(proposals)
        next(proposals)
        server.stop()
        try:
            away_for = time.monotonic() + 2 * LEASE_S
            while time.monotonic() < away_for:
                for path in ("/v1/jobs", f"/v1/jobs/{job}", "/readyz"):
                    check_away(httpx.get(address + path, timeout=30))
                check_away(httpx.post(f"{address}/v1/jobs/{job}/pause", timeout=30))
                assert httpx.get(f"{address}/healthz").status_code == 200
        finally:
            server.start()
        assert client.wait(job)["state"] == "succeeded"
        assert final_sha256(client, job) == final_sha256(client, undisturbed)
        numbers = [event["id"] for event in client.watch(job) if event["event"] != "progress"]
        assert numbers == list(range(1, len(numbers) + 1))
        check_listings(client, model, [job, undisturbed])


def check_away(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0


def check_listings(client: Client, model: str, jobs: list[str]) -> None:
    assert [job["id"] for job in client.jobs.list()] == jobs
    assert [found["id"] for found in client.models.list()] == [model]
    first, second = (list(client.proposals(job)) for job in jobs)
    assert {proposal["group"] for proposal in first} == {proposal["group"] for proposal in second}
    for job in jobs:
        assert [each["iteration"] for each in client.iterations(job)]
        client.jobs.delete(job)
    assert list(client.jobs.list()) == []
