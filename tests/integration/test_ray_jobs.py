"""Jobs with `executor: ray`: refused where Ray is not installed, gone on with when the cluster is back, failed by name
when it is not. Here nothing of Ray runs: a stand-in carries out its driver's orders in this process."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from adapt.events import Evaluation
from adapt.executors import ray
from adapt.executors.evaluate import outcome_of
from adapt.executors.handover import read_candidate, read_iteration, read_task, write_result
from adapt.executors.messages import Ended, Order
from adapt.executors.ray_process import DriverGone
from adapt.spec import ExecutorName
from app.settings import Settings
from tests.worked_jobs import Workshop, file_of, job_of, submit, work, workshop

UNREACHED = "no route to host"


@dataclass
class Weather:
    """When the cluster is there: of the connections and results that are asked for, how many are had."""

    connections: list[bool] = field(default_factory=list)  # then all
    results: list[int] = field(default_factory=list)  # of each driver, before it is gone; then all


@dataclass
class StandIn:
    """A driver whose cluster is this process."""

    folder: Path
    results: float
    connects: bool
    orders: list[Order] = field(default_factory=list)

    def wait_for_cluster(self, within_s: float, stop: Any, look_s: float) -> None:
        if not self.connects:
            raise DriverGone(UNREACHED)

    def give(self, order: Order) -> None:
        self.orders.append(order)

    def listen(self, at_most_s: float) -> list[Ended]:
        if self.results <= 0:
            raise DriverGone("the head was lost")
        self.results -= 1
        order, task = self.orders.pop(0), read_task(self.folder)
        network, iteration = read_iteration(order.iteration, task)
        candidate = replace(read_candidate(order.iteration, iteration, order.index), parts=order.parts)
        found = outcome_of(task, network, iteration.before, candidate, None, lambda pulse: pulse)
        return [Ended(order.result, write_result(found, order) if isinstance(found, Evaluation) else found)]

    def cancel(self) -> bool:
        self.orders.clear()
        return True

    def kill(self) -> None:
        self.orders.clear()


@pytest.fixture
def weather(monkeypatch: pytest.MonkeyPatch) -> Weather:
    weather = Weather()

    def start(folder: Path, *_of_ray: object) -> StandIn:
        connects = weather.connections.pop(0) if weather.connections else True
        results = weather.results.pop(0) if connects and weather.results else float("inf")
        return StandIn(folder, results, connects)

    monkeypatch.setattr(ray, "start_driver", start)
    monkeypatch.setattr(ray, "RETRY_S", 0.0)
    return weather


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with workshop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture(scope="module")
def undisturbed(shop: Workshop) -> str:
    """A job of the serial executor."""
    job = submit(shop.api, shop.model)
    work(shop.service)
    return job


def messages(shop: Workshop, job: str) -> list[str]:
    events = shop.api.client.get(f"/v1/jobs/{job}/events", params={"limit": 500}).json()["data"]
    return [event["data"]["text"] for event in events if event["event"] == "message"]


def impatient(shop: Workshop) -> Any:
    settings = shop.service.settings.model_copy(update={"ray_address": "head.internal:6379", "ray_patience_s": 0.0})
    return replace(shop.service, settings=settings)


def test_a_cluster_that_goes_away_in_mid_iteration_and_comes_back_changes_no_byte(
    shop: Workshop, weather: Weather, undisturbed: str
) -> None:
    weather.results, weather.connections = [2, 0, 1], [True, False, True]
    disturbed = submit(shop.api, shop.model, executor="ray")
    work(shop.service)
    assert job_of(shop.api, disturbed)["state"] == "succeeded"
    assert file_of(shop.api, disturbed) == file_of(shop.api, undisturbed)
    attempts = [
        {each["group"]: each["attempts"] for each in listed}
        for listed in (proposals(shop, job) for job in (undisturbed, disturbed))
    ]
    assert attempts[0] == attempts[1], "no candidate is to blame"
    told = [text for text in messages(shop, disturbed) if "Ray cluster" in text]
    assert ["went away (the head was lost)" in text for text in told] == [True, False, False, True, True]
    assert (UNREACHED in told[1], told[2].endswith("is there again")) == (True, True)


def proposals(shop: Workshop, job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shop.api.client.get(f"/v1/jobs/{job}/proposals", params={"limit": 500}).json()["data"]
    return found


def test_a_cluster_that_stays_away_fails_the_job_by_name_and_an_extension_goes_on_from_what_it_found(
    shop: Workshop, weather: Weather, undisturbed: str
) -> None:
    first = 1 + len([each for each in proposals(shop, undisturbed) if each["iteration"] == 1])
    weather.results, weather.connections = [first + 1], [True, False]
    job = submit(shop.api, shop.model, executor="ray")
    work(impatient(shop))
    failed = job_of(shop.api, job)
    assert (failed["state"], failed["error"]["type"]) == ("failed", "urn:netadapt:problem:ray-away")
    assert "the Ray cluster at head.internal:6379 is away" in failed["error"]["detail"]
    assert UNREACHED in failed["error"]["detail"]
    answer = shop.api.client.post(f"/v1/jobs/{job}/extend", json={"budget": {"macs": "55%"}})
    assert answer.status_code == 202, answer.text
    work(shop.service)
    extended = job_of(shop.api, answer.json()["id"])
    assert extended["state"] == "succeeded"
    assert extended["result"]["macs"] == job_of(shop.api, undisturbed)["result"]["macs"]


def test_a_cluster_that_is_lost_whenever_it_is_worked_with_fails_the_job_by_name(
    shop: Workshop, weather: Weather
) -> None:
    weather.results = [0, 0, 0]
    job = submit(shop.api, shop.model, executor="ray")
    work(shop.service)
    assert job_of(shop.api, job)["error"]["type"] == "urn:netadapt:problem:ray-away"
    assert "lost 3 times before a single candidate was evaluated" in job_of(shop.api, job)["error"]["detail"]


def test_without_the_extra_a_job_is_refused_at_once_or_fails_on_its_worker_before_it_trains(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = submit(shop.api, shop.model, executor="ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    body = {"model": shop.model, "budget": {"macs": "55%"}, "settings": {"executor": "ray"}}
    answer = shop.api.client.post("/v1/jobs", json=body)
    (fault,) = answer.json()["errors"]
    assert (answer.status_code, fault["pointer"]) == (422, "/settings/executor")
    assert "netadapt-service[ray]" in fault["detail"]
    work(shop.service)
    failed = job_of(shop.api, waiting)
    assert failed["error"]["type"] == "urn:netadapt:problem:extra-absent"
    assert failed["original"] is None


def test_an_executor_that_there_is_not_is_refused_with_those_that_there_are(shop: Workshop) -> None:
    answer = shop.api.client.post(
        "/v1/jobs", json={"model": shop.model, "budget": {"macs": "55%"}, "settings": {"executor": "dask"}}
    )
    (fault,) = answer.json()["errors"]
    assert fault["pointer"] == "/settings/executor"
    built = shop.api.client.get("/v1/info").json()["built"]["executors"]
    assert built == list(get_args(ExecutorName))
    assert all(f"'{name}'" in fault["detail"] for name in built)


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:port", "http://head:6379"])
def test_an_address_that_is_none_of_a_cluster_is_refused_at_start(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETADAPT_RAY_ADDRESS", address)
    with pytest.raises(ValueError, match="is not the host:port of a cluster's head"):
        Settings()
