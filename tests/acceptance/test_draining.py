"""SIGTERM, cancel and pause, wherever a job is: real processes that are asked to leave, and leave in order."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from adapt.latency.machine_lock import MachineLock
from app.client import Client
from benchmarks.cluster import Cluster

LONG = {"preset": "quick", "allow_low_accuracy": True, "long_term_epochs": 10_000, "short_term_steps": 100_000}
TRAINS_FIRST = {
    "model": "mobilenet_v1_0.25",
    "budget": {"params": "85%"},
    "settings": {**LONG, "training_epochs": 10_000},
}
MEASURES_FIRST = {"budget": {"latency_ms": "80%"}, "settings": LONG}
SEARCHES = {"budget": {"macs": "60%"}, "settings": LONG}


@pytest.fixture(scope="module", name="cluster")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with Cluster(folder, f"sqlite:///{folder / 'netadapt.db'}", hosts=1, settings={}) as cluster:
        yield cluster


@pytest.fixture(name="client")
def _client(cluster: Cluster) -> Iterator[Client]:
    with Client(cluster.address) as client:
        yield client
        cluster.look_after()
        for job in client.jobs.list():
            if job["state"] in {"queued", "running", "paused"}:
                client.cancel(job["id"])
                client.wait(job["id"])


def until(reached: Callable[[], bool]) -> None:
    """Fails by the test's own time-out."""
    while not reached():
        time.sleep(0.1)


@contextmanager
def somebody_measures(cluster: Cluster) -> Iterator[None]:
    """The machine's lock of the cluster's processes is held as long as the block lasts."""
    with MachineLock(cluster.folder / "tmp" / f"netadapt-{os.getuid()}").measuring():
        yield


def submitted(client: Client, request: dict[str, Any], net_file: Path, phase: str) -> str:
    """A job that has come so far."""
    model = request.get("model") or client.models.add(net_file)["id"]
    job: str = client.submit(model, budget=request["budget"], settings=request["settings"])["id"]
    until(lambda: client.jobs.get(job)["phase"] == phase)
    return job


PLACES = pytest.mark.parametrize(
    ("request_", "phase", "held"),
    [
        pytest.param(TRAINS_FIRST, "training", False, id="while an architecture is trained"),
        pytest.param(TRAINS_FIRST, "training", True, id="while it waits for the machine's lock"),
        pytest.param(MEASURES_FIRST, "measuring", False, id="while it measures"),
        pytest.param(SEARCHES, "adapting", False, id="while proposals are trained"),
    ],
)


@PLACES
def test_a_worker_that_is_asked_to_end_gives_its_job_back(
    cluster: Cluster, client: Client, net_file: Path, request_: dict[str, Any], phase: str, held: bool
) -> None:
    job = submitted(client, request_, net_file, phase)
    with somebody_measures(cluster) if held else nullcontext():
        (host,) = [each.pid for each in cluster.find() if each.role == "host"]
        os.kill(host, signal.SIGTERM)
        until(lambda: host not in [each.pid for each in cluster.find()])
    found = client.jobs.get(job)
    assert (found["state"], found["phase"], found["error"]) == ("queued", None, None)
    assert "did not drain" not in (cluster.folder / "cluster.log").read_text()
    cluster.look_after()
    until(lambda: client.jobs.get(job)["state"] == "running")


@PLACES
def test_a_cancelled_job_is_left_where_it_is(
    cluster: Cluster, client: Client, net_file: Path, request_: dict[str, Any], phase: str, held: bool
) -> None:
    job = submitted(client, request_, net_file, phase)
    with somebody_measures(cluster) if held else nullcontext():
        assert client.cancel(job)["requested"] == "cancel"
        until(lambda: client.jobs.get(job)["state"] == "cancelled")


def test_a_paused_job_lets_others_go_first_and_goes_on_where_it_was(client: Client, net_file: Path) -> None:
    job = submitted(client, {**SEARCHES, "settings": {**LONG, "short_term_steps": 1}}, net_file, "finetuning")
    iterations = client.jobs.get(job)["progress"]["iteration"]
    client.pause(job)
    until(lambda: client.jobs.get(job)["state"] == "paused")
    other = submitted(client, SEARCHES, net_file, "adapting")
    client.cancel(other)
    client.resume(job)
    until(lambda: client.jobs.get(job)["phase"] == "finetuning")
    assert len(list(client.iterations(job))) == iterations
