"""Agents over real HTTP, played by the test: what they are told, what is refused, and what their token opens."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, update

from adapt.latency.reading import Plan, Reading
from adapt.latency.runtimes.contract import Kernel
from app.agent.holding import MAX_HAND_OUTS
from app.agent.orders import OrderBook
from app.agent.records import ReadingOrder
from app.auth import TokenRepository
from app.blobs import BlobRepository
from app.database import database_now, unit_of_work
from app.tables import TargetRow, TaskRow
from app.targets.presence import AWAY_S, SILENT_S
from app.tasks.queue import MAX_ATTEMPTS
from tests.latency import CONDITIONS as STAND_IN
from tests.live_api import LiveApi, live_api

CLAIM = "/v1/agent/tasks/claim"
CONDITIONS = replace(STAND_IN, runtime="onnxruntime")
PHONE = {"name": "phone-1", "instance": "a-random-one", "conditions": CONDITIONS.to_json()}
READING = Reading(
    conditions=CONDITIONS,
    candidate_ms=(1.0, 1.1, 0.9) * 5,
    reference_ms=(2.0, 2.1, 1.9) * 5,
    runs=30,
    kernels=(Kernel(name="conv", operator="Conv", ms=0.5),),
)


@pytest.fixture(scope="module")
def running(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("service"), database_url=database_url) as running:
        yield running


@pytest.fixture
def api(running: LiveApi) -> Iterator[LiveApi]:
    """Without any agent."""
    yield running
    with unit_of_work(running.services.sessions) as session:
        session.execute(delete(TargetRow).where(TargetRow.kind == "agent"))


@pytest.fixture
def device(api: LiveApi) -> Iterator[httpx.Client]:
    """Ann's phone, with a token that opens nothing else."""
    with unit_of_work(api.services.sessions) as session:
        secret = TokenRepository(session).create_token("ann", role="agent")[1]
    headers = {"Authorization": f"Bearer {secret}"}
    with httpx.Client(timeout=30, base_url=api.client.base_url, headers=headers) as client:
        yield client


def claim(client: httpx.Client, wait: int = 0, **changed: Any) -> httpx.Response:
    return client.post(CLAIM, params={"wait": wait}, json={**PHONE, **changed})


def target_of(api: LiveApi, name: str = "phone-1") -> dict[str, Any]:
    (found,) = [each for each in api.client.get("/v1/targets").json()["data"] if each["name"] == name]
    return dict(found)


def order(api: LiveApi, asker: str = "job_a") -> str:
    """A reading that somebody waits for; the task's id."""
    candidate, reference = (api.services.storage.put(text) for text in (b"a candidate", b"the original"))
    target_id = target_of(api)["id"]
    wanted = ReadingOrder(asker=asker, candidate=candidate.sha256, reference=reference.sha256, plan=Plan(profile_s=0.1))
    with unit_of_work(api.services.sessions) as session:
        for blob in (candidate, reference):
            BlobRepository(session).add_blob(blob.sha256, blob.bytes)
        return OrderBook(session).ask("ann", target_id, wanted).id


def held(api: LiveApi, device: httpx.Client) -> dict[str, Any]:
    """A task in the phone's hands."""
    assert claim(device).status_code == 204
    order(api)
    return dict(claim(device).json())


def put(client: httpx.Client, task: dict[str, Any], document: Any) -> httpx.Response:
    return client.put(f"/v1/agent/tasks/{task['id']}/result", params={"lease": task["lease"]}, json=document)


def row_of(api: LiveApi, task_id: str) -> TaskRow:
    with api.services.sessions() as session:
        return session.get_one(TaskRow, task_id)


def pass_time(api: LiveApi, task_id: str) -> None:
    with unit_of_work(api.services.sessions) as session:
        values = {"lease_expires_at": database_now(session).replace(year=2020)}
        session.execute(update(TaskRow).where(TaskRow.id == task_id).values(values))


def keep_silent(api: LiveApi) -> None:
    with unit_of_work(api.services.sessions) as session:
        long_ago = database_now(session).replace(year=2020)
        session.execute(update(TargetRow).where(TargetRow.kind == "agent").values(last_seen_at=long_ago))


def put_the_clock_back(api: LiveApi) -> None:
    """The agent was heard of before that: at a moment that is still to come."""
    with unit_of_work(api.services.sessions) as session:
        to_come = database_now(session) + timedelta(hours=1)
        session.execute(update(TargetRow).where(TargetRow.kind == "agent").values(last_seen_at=to_come))


def slug(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def test_an_agent_becomes_a_target_of_its_owner_at_its_first_call(api: LiveApi, device: httpx.Client) -> None:
    assert claim(device).status_code == 204
    target = target_of(api)
    assert (target["kind"], target["name"], target["state"]) == ("agent", "phone-1", "ready")
    assert {name: target[name] for name in ("runtime", "provider", "threads", "batch", "precision")} == {
        name: getattr(CONDITIONS, name) for name in ("runtime", "provider", "threads", "batch", "precision")
    }
    assert target["fingerprint"]["id"] == CONDITIONS.fingerprint()
    assert target["last_seen_at"] is not None
    assert api.stranger.get(f"/v1/targets/{target['id']}").status_code == 404
    assert claim(device).status_code == 204
    assert target_of(api)["id"] == target["id"]


def test_a_user_may_run_an_agent_with_a_token_of_his_own(api: LiveApi) -> None:
    assert claim(api.client).status_code == 204
    assert claim(api.stranger).status_code == 204  # bob's phone-1 is another one
    assert target_of(api)["id"] not in api.stranger.get("/v1/targets").text


def test_it_gets_the_files_and_its_answer_reaches_who_asked(api: LiveApi, device: httpx.Client) -> None:
    task = held(api, device)
    assert Plan.from_document(task["plan"]) == Plan(profile_s=0.1)
    assert device.get(task["candidate"]["url"]).content == b"a candidate"
    assert device.get(task["reference"]["url"]).content == b"the original"
    assert put(device, task, READING.to_document()).status_code == 204
    assert row_of(api, task["id"]).result == READING.to_document()
    assert device.get(task["candidate"]["url"]).status_code == 409
    assert claim(device).status_code == 204


def test_it_is_answered_as_soon_as_there_is_work(api: LiveApi, device: httpx.Client) -> None:
    claim(device)
    answers: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(claim(device, wait=20)))
    waiting.start()
    task_id = order(api)
    waiting.join()
    assert answers[0].json()["id"] == task_id


def test_a_second_agent_of_the_same_name_is_refused_until_the_first_is_silent(
    api: LiveApi, device: httpx.Client
) -> None:
    claim(device)
    second = claim(device, instance="another-process")
    assert slug(second) == (409, "name-taken")
    assert "--name" in second.json()["detail"]
    assert claim(device, instance="another-process", name="phone-2").status_code == 204
    keep_silent(api)
    assert claim(device, instance="another-process").status_code == 204
    assert slug(claim(device)) == (409, "name-taken")


def test_a_clock_that_was_put_back_leaves_no_agent_there_and_no_name_taken(api: LiveApi, device: httpx.Client) -> None:
    claim(device)
    put_the_clock_back(api)
    assert target_of(api)["state"] == "away"
    assert claim(device, instance="after-a-restart").status_code == 204
    assert target_of(api)["state"] == "ready"


def test_a_restarted_agent_gets_the_task_that_the_first_had(api: LiveApi, device: httpx.Client) -> None:
    task = held(api, device)
    keep_silent(api)
    again = claim(device, instance="another-process").json()
    assert (again["id"], again["lease"]) == (task["id"], task["lease"] + 1)
    assert slug(put(device, task, READING.to_document())) == (409, "lease-lost")
    assert put(device, again, READING.to_document()).status_code == 204


def test_an_agent_that_runs_with_something_else_is_told_what_differs(api: LiveApi, device: httpx.Client) -> None:
    claim(device)
    keep_silent(api)
    other = replace(CONDITIONS, threads=4, provider_options={"device_id": "1"}).to_json()
    refused = claim(device, conditions=other, instance="another-process")
    assert slug(refused) == (409, "other-settings")
    assert "threads 1" in refused.json()["detail"]
    newer = replace(CONDITIONS, runtime_version="2.0")
    assert claim(device, conditions=newer.to_json()).status_code == 204
    assert target_of(api)["fingerprint"]["id"] == newer.fingerprint()


def test_a_device_that_says_nothing_for_long_is_shown_as_away(api: LiveApi, device: httpx.Client) -> None:
    claim(device)
    assert AWAY_S > SILENT_S
    keep_silent(api)
    assert target_of(api)["state"] == "away"
    claim(device)
    assert target_of(api)["state"] == "ready"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"name": ""}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": 7}, "/name"),
        ({"instance": "short"}, "/instance"),
        ({"color": 1}, "/color"),
        ({"conditions": {}}, "/conditions/runtime"),
        ({"conditions": {**CONDITIONS.to_json(), "threads": 0}}, "/conditions/threads"),
        ({"conditions": {**CONDITIONS.to_json(), "threads": 10**6}}, "/conditions/threads"),
        ({"conditions": {**CONDITIONS.to_json(), "batch": -1}}, "/conditions/batch"),
        ({"conditions": {**CONDITIONS.to_json(), "precision": "int3"}}, "/conditions/precision"),
        ({"conditions": {**CONDITIONS.to_json(), "runtime": "abacus"}}, "/conditions/runtime"),
        ({"conditions": {**CONDITIONS.to_json(), "runtime": "torch", "precision": "int8"}}, "/conditions/precision"),
        ({"conditions": {**CONDITIONS.to_json(), "provider_options": {"a": 1}}}, "/conditions/provider_options/a"),
    ],
)
def test_who_introduces_himself_badly_is_refused_by_field(
    api: LiveApi, device: httpx.Client, changed: dict[str, Any], says: str
) -> None:
    answer = claim(device, **changed)
    assert slug(answer) == (422, "invalid-request")
    assert says in [error["pointer"] for error in answer.json()["errors"]]
    assert len(api.client.get("/v1/targets").json()["data"]) == 1


BAD = READING.to_document()


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], ""),
        ({}, "/conditions"),
        ({**BAD, "candidate_ms": [1.0, -1.0, 1.0]}, "/candidate_ms/1"),
        ({**BAD, "candidate_ms": [1.0, 0, 1.0]}, "/candidate_ms/1"),
        ({**BAD, "candidate_ms": ["1", 1.0, 1.0]}, "/candidate_ms/0"),
        ({**BAD, "candidate_ms": [1.0]}, "/reference_ms"),
        ({**BAD, "candidate_ms": []}, "/candidate_ms"),
        ({**BAD, "candidate_ms": [1.0] * 14, "reference_ms": [2.0] * 14}, "/candidate_ms"),
        ({**BAD, "runs": 0}, "/runs"),
        ({**BAD, "kernels": [{"name": "a", "operator": "b", "ms": -1}]}, "/kernels/0/ms"),
        ({**BAD, "kernels": "all"}, "/kernels"),
        ({**BAD, "color": 1}, "/color"),
        ({**BAD, "conditions": {**BAD["conditions"], "threads": 8}}, "/conditions/threads"),
        ({**BAD, "conditions": {**BAD["conditions"], "runtime": "torch"}}, "/conditions/runtime"),
        ({**BAD, "conditions": {**BAD["conditions"], "provider_options": {"a": "b"}}}, "/conditions/provider_options"),
        ({"failed": 7}, "/failed"),
        ({"failed": "no", "candidate_ms": [1.0]}, "/candidate_ms"),
    ],
)
def test_nonsense_is_refused_by_field_and_the_task_stays(
    api: LiveApi, device: httpx.Client, document: Any, says: str
) -> None:
    task = held(api, device)
    answer = put(device, task, document)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == says
    assert put(device, task, READING.to_document()).status_code == 204


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (json.dumps(BAD).replace("1.1", "NaN").encode(), 400), (b"[" * 10_000, 400), (b" " * 5_000_000, 413)],
)
def test_what_is_no_json_or_too_large_is_refused_and_the_task_stays(
    api: LiveApi, device: httpx.Client, content: bytes, status: int
) -> None:
    task = held(api, device)
    url, headers = f"/v1/agent/tasks/{task['id']}/result?lease={task['lease']}", {"content-type": "application/json"}
    assert slug(device.put(url, content=content, headers=headers))[0] == status
    assert device.put(url, content=b"{}").status_code == 415
    assert put(device, task, READING.to_document()).status_code == 204


def test_a_second_answer_and_one_after_the_lease_are_refused(api: LiveApi, device: httpx.Client) -> None:
    task = held(api, device)
    pass_time(api, task["id"])
    assert slug(put(device, task, READING.to_document())) == (409, "lease-lost")
    again = claim(device).json()
    assert again["id"] == task["id"]
    assert put(device, again, READING.to_document()).status_code == 204
    other = {**READING.to_document(), "runs": 7}
    second = put(device, again, other)
    assert slug(second) == (409, "lease-lost")
    assert "answered already" in second.json()["detail"]
    assert row_of(api, task["id"]).result == READING.to_document()


def test_a_task_of_somebody_elses_device_is_not_there(api: LiveApi, device: httpx.Client) -> None:
    task = held(api, device)
    assert claim(api.stranger).status_code == 204
    path, lease = f"/v1/agent/tasks/{task['id']}", {"lease": task["lease"]}
    assert slug(api.stranger.get(f"{path}/files/candidate", params=lease)) == (404, "not-found")
    assert slug(api.stranger.post(f"{path}/renew", params=lease)) == (404, "not-found")
    assert slug(put(api.stranger, task, READING.to_document())) == (404, "not-found")
    assert slug(put(device, {**task, "id": "tsk_nope"}, READING.to_document())) == (404, "not-found")
    assert slug(device.put(f"{path}/result", json=BAD))[0] == 422
    assert put(device, task, READING.to_document()).status_code == 204


def test_why_a_device_cannot_measure_is_kept_for_who_asked(api: LiveApi, device: httpx.Client) -> None:
    task = held(api, device)
    assert put(device, task, {"failed": "onnxruntime: the network was refused"}).status_code == 204
    row = row_of(api, task["id"])
    assert row.state == "failed"
    assert "was refused" in (row.error or {})["detail"]


def test_an_agent_that_never_answers_is_given_up(api: LiveApi, device: httpx.Client) -> None:
    task = held(api, device)
    for _ in range(MAX_ATTEMPTS - 1):
        pass_time(api, task["id"])
        task = claim(device).json()
    pass_time(api, task["id"])
    assert claim(device).status_code == 204
    row = row_of(api, task["id"])
    assert (row.state, (row.error or {})["type"]) == ("failed", "urn:netadapt:problem:measurement-failed")


def test_an_agent_that_only_ever_asks_is_given_up_too(api: LiveApi, device: httpx.Client) -> None:
    task = held(api, device)
    for _ in range(MAX_HAND_OUTS - 1):
        assert claim(device).json()["id"] == task["id"]
    assert claim(device).status_code == 204
    assert row_of(api, task["id"]).state == "failed"


def test_saying_that_it_is_at_work_keeps_the_task_and_the_name(api: LiveApi, device: httpx.Client) -> None:
    task = held(api, device)
    keep_silent(api)
    before = row_of(api, task["id"]).lease_expires_at
    path = f"/v1/agent/tasks/{task['id']}/renew"
    assert device.post(path, params={"lease": task["lease"]}).status_code == 204
    after = row_of(api, task["id"]).lease_expires_at
    assert before is not None
    assert after is not None
    assert after < before  # from now on it is believed only for as long as it goes on saying so
    assert target_of(api)["state"] == "ready"
    assert slug(device.post(path, params={"lease": task["lease"] + 1})) == (409, "lease-lost")


def test_an_agents_token_opens_nothing_but_its_own_paths(api: LiveApi, device: httpx.Client) -> None:
    claim(device)
    schema = api.client.get("/openapi.json").json()
    assert {"/v1/agent/tasks/claim", "/v1/agent/tasks/{task_id}/result"} <= set(schema["paths"])
    opened, target_id = set(), target_of(api)["id"]
    for path, operations in schema["paths"].items():
        for method in operations:
            if path.startswith("/v1/agent/"):
                continue
            url = path.replace("{target_id}", target_id).replace("{", "").replace("}", "")
            if device.request(method, url).status_code != 403:
                opened.add(path)
    assert opened <= {"/healthz", "/readyz", "/metrics", "/v1/info", "/v1/architectures", "/v1/session"}
    assert device.post("/v1/session", json={"token": "nat_no"}).status_code == 401
