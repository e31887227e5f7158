"""A family: picks of one search trained to the end, over HTTP, by a real worker; and the curve that they lie on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from adapt.checkpoint import read_safetensors
from adapt.errors import Stopped
from adapt.events import EpochDone
from app.client import Client
from app.database import unit_of_work
from app.jobs.queue import JobQueue
from app.tasks.queue import TaskQueue
from tests.live_api import LiveApi, live_api
from tests.trained import trained_pt2
from workers import adaptation, recording
from workers.adaptation import run_job
from workers.service import Service
from workers.tasks import run_task

pytestmark = pytest.mark.databases("sqlite")  # the writes of a worker are shown on both databases elsewhere

SETTINGS = {
    "preset": "quick",
    "short_term_steps": 2,
    "long_term_epochs": 2,
    "executor": "serial",
    "schedule": {"initial": 0.15, "decay": 1.0},
}


@pytest.fixture(name="api", scope="module")
def _api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(name="service", scope="module")
def _service(api: LiveApi) -> Service:
    return Service(
        sessions=api.services.sessions,
        storage=api.services.storage,
        settings=api.services.settings,
        lock_directory=api.folder / "lock",
        worker_id="test",
    )


@pytest.fixture(name="model", scope="module")
def _model(api: LiveApi, service: Service) -> str:
    answer = api.client.post("/v1/models", files={"file": ("net.pt2", trained_pt2())})
    assert answer.status_code == 201, answer.text
    with unit_of_work(service.sessions) as session:
        task = TaskQueue(session).claim_next_task("test", lease_s=30)
    assert task is not None
    run_task(task, service, shutdown=lambda: False)
    model: str = answer.json()["id"]
    return model


@pytest.fixture(name="searched", scope="module")
def _searched(api: LiveApi, service: Service, model: str) -> dict[str, Any]:
    """A search of several iterations that fine-tuned nothing."""
    job = submit(api, model, final="none")
    work(service)
    return job_of(api, job)


def submit(api: LiveApi, model: str, budget: dict[str, Any] | None = None, **settings: object) -> str:
    body = {"model": model, "name": "small", "budget": budget or {"macs": "55%"}, "settings": SETTINGS | settings}
    answer = api.client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["id"]
    return job


def work(service: Service, shutdown: Callable[[], bool] = lambda: False) -> None:
    with unit_of_work(service.sessions) as session:
        claimed = JobQueue(session).claim_next_job("test", lease_s=30)
    assert claimed is not None
    run_job(claimed, service, shutdown)


def job_of(api: LiveApi, job: str) -> dict[str, Any]:
    document: dict[str, Any] = api.client.get(f"/v1/jobs/{job}").json()
    return document


def family(api: LiveApi, job: str, **asked: object) -> list[dict[str, Any]]:
    answer = api.client.post(f"/v1/jobs/{job}/family", json=asked)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/jobs/{job}/family"
    members: list[dict[str, Any]] = answer.json()["data"]
    return members


def members_of(api: LiveApi, job: str) -> list[dict[str, Any]]:
    members: list[dict[str, Any]] = api.client.get(f"/v1/jobs/{job}/family", params={"limit": 500}).json()["data"]
    return members


def checkpoints(api: LiveApi, job: str) -> dict[str, dict[str, Any]]:
    listed = api.client.get(f"/v1/jobs/{job}/checkpoints", params={"limit": 500}).json()["data"]
    return {each["checkpoint"]: each for each in listed}


def file_of(api: LiveApi, job: str, checkpoint: str = "final") -> bytes:
    answer = api.client.get(f"/v1/jobs/{job}/checkpoints/{checkpoint}/file", params={"format": "safetensors"})
    assert answer.status_code == 200, answer.text
    return answer.content


def cut_off_after(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    """That many epochs are recorded, and then the worker is gone."""

    class CutOff(recording.Recording):
        seen = 0

        def write(self, event: Any) -> None:
            super().write(event)
            self.seen += isinstance(event, EpochDone)
            if self.seen == epochs and isinstance(event, EpochDone):
                raise Stopped("the worker is gone")

    monkeypatch.setattr(adaptation, "Recording", CutOff)


def run_out_of_lease(service: Service) -> None:
    with unit_of_work(service.sessions) as session:
        session.execute(text("UPDATE jobs SET lease_expires_at = '2000-01-01 00:00:00.000000'"))


def test_members_are_picks_trained_to_the_end_and_have_all_their_figures(
    api: LiveApi, service: Service, searched: dict[str, Any], tmp_path: Path
) -> None:
    job = searched["id"]
    picks = checkpoints(api, job)
    last = max(int(name) for name in picks if name.isdigit())
    assert last >= 2
    members = family(api, job, iterations=[1, last])
    assert [(each["continues"], each["from_iteration"], each["state"]) for each in members] == [
        (job, 1, "queued"),
        (job, last, "queued"),
    ]
    assert [each["budget"] for each in members] == [{"macs": picks[name]["macs"]} for name in ("1", str(last))]
    assert {each["settings"]["final"] for each in members} == {"finetune"}
    for _ in members:
        work(service)
    for member, name in zip(members, ("1", str(last)), strict=True):
        done, own = job_of(api, member["id"]), checkpoints(api, member["id"])
        assert (done["state"], done["error"]) == ("succeeded", None)
        assert (done["result"]["macs"], own["final"]["filters"]) == (picks[name]["macs"], picks[name]["filters"])
        assert done["result"]["latency_ms"]["measured"] > 0
        assert all(0 < done["result"][score] <= 1 for score in ("accuracy", "holdout_accuracy"))
        assert done["original"] == searched["original"]
        assert sorted(own) == ["0", "final"]
        (tmp_path / "final.safetensors").write_bytes(file_of(api, member["id"]))
        trained = read_safetensors(tmp_path / "final.safetensors")
        (tmp_path / "pick.safetensors").write_bytes(file_of(api, job, name))
        assert trained.graph.weight_shapes == read_safetensors(tmp_path / "pick.safetensors").graph.weight_shapes
    assert api.client.get(f"/v1/jobs/{members[0]['id']}/iterations").json()["data"] == []
    assert {each["id"] for each in members} <= {each["id"] for each in members_of(api, job)}
    again = api.client.post(f"/v1/jobs/{members[0]['id']}/extend", json={"budget": {"macs": "10%"}})
    assert (again.status_code, "extend that one" in again.json()["detail"]) == (409, True)
    nested = api.client.post(f"/v1/jobs/{members[0]['id']}/family", json={})
    assert nested.status_code == 409


def test_a_member_cut_off_in_its_fine_tune_ends_with_the_same_bytes(
    api: LiveApi, service: Service, searched: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (undisturbed,) = family(api, searched["id"], iterations=[1])
    work(service)
    (cut_off,) = family(api, searched["id"], iterations=[1])
    with monkeypatch.context() as patch:
        cut_off_after(patch, 1)
        work(service)
    assert job_of(api, cut_off["id"])["state"] == "running"
    run_out_of_lease(service)
    work(service)
    events = api.client.get(f"/v1/jobs/{cut_off['id']}/events", params={"limit": 500}).json()["data"]
    told = [event["data"]["text"] for event in events if event["event"] == "message"]
    assert [line.split(":")[0] for line in told if line.startswith("epoch ")] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert file_of(api, cut_off["id"]) == file_of(api, undisturbed["id"])


def test_a_budget_gets_the_first_pick_within_it_and_one_that_none_is_within_is_refused_with_the_nearest(
    api: LiveApi, service: Service, searched: dict[str, Any]
) -> None:
    job, picks = searched["id"], checkpoints(api, searched["id"])
    macs = {int(name): picks[name]["macs"] for name in picks if name.isdigit()}
    last = max(macs)
    loose = f"{100 * macs[1] / searched['original']['macs'] + 0.01:.6f}%"
    members = family(api, job, budgets=[{"macs": macs[last]}, loose, macs[1]], long_term_epochs=1)
    assert [each["from_iteration"] for each in members] == [last, 1, 1]
    assert [each["budget"] for each in members] == [{"macs": macs[last]}, {"macs": loose}, {"macs": macs[1]}]
    assert {each["settings"]["long_term_epochs"] for each in members} == {1}
    for each in members:
        api.client.post(f"/v1/jobs/{each['id']}/cancel")
    before = len(members_of(api, job))
    for budget, said in (
        ({"macs": "1%"}, f"iteration {last}, has macs {macs[last]}"),
        ({"macs": "100%"}, "the original network is within it already"),
    ):
        answer = api.client.post(f"/v1/jobs/{job}/family", json={"budgets": [macs[1], budget]})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/budgets/1")
        assert said in answer.json()["errors"][0]["detail"]
        assert len(members_of(api, job)) == before


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"iterations": [1, 99]}, "/iterations/1"),
        ({"iterations": [1, 1]}, "/iterations"),
        ({"iterations": []}, "/iterations"),
        ({"iterations": ["1"]}, "/iterations/0"),
        ({"iterations": [0]}, "/iterations/0"),
        ({"iterations": [1], "budgets": ["50%"]}, "/budgets"),
        ({"budgets": ["fast"]}, "/budgets/0"),
        ({"budgets": [{"speed": 1}]}, "/budgets/0"),
        ({"budgets": [None]}, "/budgets/0"),
        ({"budgets": [{}]}, "/budgets/0"),
        ({"long_term_epochs": 0}, "/long_term_epochs"),
        ({"points": [1]}, "/points"),
    ],
)
def test_what_is_no_choice_of_picks_is_refused_where_it_is_wrong(
    api: LiveApi, searched: dict[str, Any], asked: dict[str, Any], pointer: str
) -> None:
    answer = api.client.post(f"/v1/jobs/{searched['id']}/family", json=asked)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"].startswith(pointer)


def test_a_family_without_a_choice_is_spread_over_the_search_and_asking_again_with_the_key_makes_no_other(
    api: LiveApi, searched: dict[str, Any]
) -> None:
    headers = {"Idempotency-Key": "family-1"}
    first, second = (
        api.client.post(f"/v1/jobs/{searched['id']}/family", json={}, headers=headers).json()["data"] for _ in range(2)
    )
    assert [each["id"] for each in first] == [each["id"] for each in second]
    iterations = [each["from_iteration"] for each in first]
    assert iterations == sorted(set(iterations))
    deleted = api.client.delete(f"/v1/jobs/{searched['id']}")
    assert deleted.status_code == 409
    assert any(f"job {each['id']} starts from" in deleted.json()["detail"] for each in first)
    for each in first:
        assert api.client.post(f"/v1/jobs/{each['id']}/cancel").status_code == 202


def test_a_job_that_has_picked_nothing_has_no_family_but_a_curve(api: LiveApi, model: str) -> None:
    job = submit(api, model)
    answer = api.client.post(f"/v1/jobs/{job}/family", json={})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:netadapt:problem:wrong-state")
    assert api.client.get(f"/v1/jobs/{job}/curve").json() == {"job": job, "resource": "macs", "data": []}
    for path in ("family", "curve"):
        assert api.stranger.get(f"/v1/jobs/{job}/{path}").status_code == 404
    assert api.stranger.post(f"/v1/jobs/{job}/family", json={}).status_code == 404
    api.client.post(f"/v1/jobs/{job}/cancel")


def test_the_curve_has_a_point_for_every_network_from_the_most_to_the_least(
    api: LiveApi, service: Service, searched: dict[str, Any]
) -> None:
    (member,) = family(api, searched["id"], iterations=[2])
    with Client(str(api.client.base_url), api.client.headers["authorization"].removeprefix("Bearer ")) as client:
        waiting = [point for point in client.curve(searched["id"])["data"] if point["job"] == member["id"]]
        assert [(point["kind"], point["state"], point["macs"]) for point in waiting] == [("member", "queued", None)]
        work(service)
        curve = client.curve(searched["id"])
        assert member["id"] in [each["id"] for each in client.members(searched["id"])]
    assert curve["resource"] == "macs"
    known = [point["macs"] for point in curve["data"] if point["macs"] is not None]
    assert known == sorted(known, reverse=True)
    picks = checkpoints(api, searched["id"])
    points = {(point["kind"], point["iteration"], point["job"]): point for point in curve["data"]}
    for name in picks:
        kind = picks[name]["kind"]
        point = points[kind, picks[name]["iteration"], searched["id"]]
        assert (point["checkpoint"], point["latency_ms"]) == (name, picks[name]["latency_ms"])
        assert point["holdout_accuracy"] is not None
        assert (point["test_accuracy"] is None) == (kind == "pick")
    done, point = job_of(api, member["id"])["result"], points["member", 2, member["id"]]
    assert (point["test_accuracy"], point["holdout_accuracy"]) == (done["accuracy"], done["holdout_accuracy"])
