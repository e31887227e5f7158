"""A family: picks of one search trained to the end, over HTTP, by a real worker; the curve that they lie on; and the
uniformly thinned network that a result is compared with."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapt.checkpoint import read_safetensors
from app.client import Client
from tests.live_api import LiveApi
from tests.worked_jobs import (
    Workshop,
    checkpoints,
    cut_off_after,
    file_of,
    job_of,
    members_of,
    run_out_of_lease,
    submit,
    work,
    workshop,
)
from workers.service import Service

pytestmark = pytest.mark.databases("sqlite")  # the writes of a worker are shown on both databases elsewhere


@pytest.fixture(name="at_work", scope="module")
def _at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with workshop(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(name="api", scope="module")
def _api(at_work: Workshop) -> LiveApi:
    return at_work.api


@pytest.fixture(name="service", scope="module")
def _service(at_work: Workshop) -> Service:
    return at_work.service


@pytest.fixture(name="model", scope="module")
def _model(at_work: Workshop) -> str:
    return at_work.model


@pytest.fixture(name="searched", scope="module")
def _searched(api: LiveApi, service: Service, model: str) -> dict[str, Any]:
    """A search of several iterations that fine-tuned nothing."""
    job = submit(api, model, final="none")
    work(service)
    return job_of(api, job)


def family(api: LiveApi, job: str, **asked: object) -> list[dict[str, Any]]:
    answer = api.client.post(f"/v1/jobs/{job}/family", json=asked)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/jobs/{job}/family"
    members: list[dict[str, Any]] = answer.json()["data"]
    return members


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


def compared(api: LiveApi, model: str, budget: dict[str, Any] | None = None, **settings: object) -> str:
    return submit(api, model, budget or {"macs": "70%"}, compare="uniform", **settings)


def test_a_result_is_compared_with_the_uniformly_thinned_network_which_is_a_checkpoint_of_its_own(
    api: LiveApi, service: Service, model: str, tmp_path: Path
) -> None:
    job = compared(api, model, final="finetune")
    work(service)
    done, own = job_of(api, job), checkpoints(api, job)
    assert (done["state"], done["error"], done["settings"]["compare"]) == ("succeeded", None, "uniform")
    uniform = done["uniform"]
    assert 0 < uniform["macs"] <= done["result"]["macs"]
    assert 0 < uniform["width"] < 1
    steps_per_epoch = images_of(api, job) // 64
    assert uniform["steps"] == 2 * done["progress"]["iteration"] + 2 * steps_per_epoch
    assert uniform["latency_ms"]["measured"] > 0
    assert all(0 < uniform[score] <= 1 for score in ("accuracy", "holdout_accuracy"))
    assert {each["kind"] for each in own.values()} == {"original", "pick", "final", "uniform"}
    assert {file["format"] for file in own["uniform"]["files"]} == {"onnx", "pt2", "safetensors"}
    (tmp_path / "uniform.safetensors").write_bytes(file_of(api, job, "uniform"))
    network = read_safetensors(tmp_path / "uniform.safetensors")
    assert network.graph.weight_shapes["head.weight"][1] == own["uniform"]["filters"]["last.0"]
    kinds = [point["kind"] for point in api.client.get(f"/v1/jobs/{job}/curve").json()["data"]]
    assert kinds.count("uniform") == 1


def images_of(api: LiveApi, job: str) -> int:
    """How many are trained on, as the job says."""
    events = api.client.get(f"/v1/jobs/{job}/events", params={"limit": 500}).json()["data"]
    texts = [event["data"]["text"] for event in events if event["event"] == "message"]
    return next(int(text.split()[0]) for text in texts if "images to train on" in text)


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_job_cut_off_before_or_in_the_training_of_what_it_compares_with_ends_with_the_same_bytes(
    api: LiveApi, service: Service, model: str, monkeypatch: pytest.MonkeyPatch, undisturbed: str, epochs: int
) -> None:
    cut_off = compared(api, model)
    with monkeypatch.context() as patch:
        cut_off_after(patch, epochs)
        work(service)
    assert job_of(api, cut_off)["state"] == "running"
    run_out_of_lease(service)
    work(service)
    assert job_of(api, cut_off)["state"] == "succeeded"
    for checkpoint in ("final", "uniform"):
        assert file_of(api, cut_off, checkpoint) == file_of(api, undisturbed, checkpoint)
    events = api.client.get(f"/v1/jobs/{cut_off}/events", params={"limit": 500}).json()["data"]
    told = [event["data"]["checkpoint"] for event in events if event["event"] == "checkpoint"]
    assert len(told) == len(set(told))


@pytest.fixture(name="undisturbed", scope="module")
def _undisturbed(api: LiveApi, service: Service, model: str) -> str:
    job = compared(api, model)
    work(service)
    return job


def test_a_member_of_a_family_is_compared_too_by_the_steps_that_its_search_had_made(
    api: LiveApi, service: Service, undisturbed: str
) -> None:
    (member,) = family(api, undisturbed, iterations=[1], long_term_epochs=1)
    work(service)
    done = job_of(api, member["id"])
    assert done["state"] == "succeeded"
    assert done["uniform"]["macs"] <= done["result"]["macs"]
    assert done["uniform"]["steps"] == 2 * 1 + images_of(api, member["id"]) // 64
    points = api.client.get(f"/v1/jobs/{undisturbed}/curve").json()["data"]
    assert [point["kind"] for point in points if point["job"] == member["id"]].count("uniform") == 1


def test_a_download_over_a_connection_that_breaks_asks_the_service_for_the_rest(
    api: LiveApi, searched: dict[str, Any], tmp_path: Path
) -> None:
    asked: list[str | None] = []

    class Breaking(httpx.HTTPTransport):
        """Lets the first connection end after some bytes."""

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(request.headers.get("Range"))
            answer = super().handle_request(request)
            if len(asked) == 1:
                answer.stream = Broken(answer.stream)
            return answer

    class Broken(httpx.SyncByteStream):
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def __iter__(self) -> Iterator[bytes]:
            yield next(iter(self.stream))[:1000]
            raise httpx.ReadError("reset")

        def close(self) -> None:
            self.stream.close()

    token = api.client.headers["Authorization"].removeprefix("Bearer ")
    address = str(api.client.base_url)
    with Client(address, token, transport=Breaking(), sleep=lambda seconds: None) as client:
        file = client.download(searched["id"], tmp_path / "net.safetensors", format="safetensors", checkpoint=0)
    assert asked == [None, "bytes=1000-"]
    assert file.read_bytes() == file_of(api, searched["id"], "0")
