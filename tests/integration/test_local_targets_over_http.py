"""Targets that are this machine with another runtime: added over HTTP, tried by a worker, refused by field."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from app.database import unit_of_work
from app.targets.repository import TARGET_CHECK_TASK, TargetRepository
from app.tasks.queue import MAX_ATTEMPTS, TaskQueue
from tests.live_api import LiveApi, live_api
from workers.service import Service, open_service
from workers.tasks import run_task


@pytest.fixture(scope="module")
def api(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("data"), database_url=database_url) as running:
        yield running


@pytest.fixture(scope="module")
def worker(api: LiveApi) -> Iterator[Service]:
    with open_service(api.services.settings, "short", 0) as service:
        yield service


def added(api: LiveApi, **values: Any) -> dict[str, Any]:
    answer = api.client.post("/v1/targets", json={"kind": "local", **values})
    assert answer.status_code == 201, answer.text
    target = answer.json()
    assert answer.headers["location"] == f"/v1/targets/{target['id']}"
    assert (target["state"], target["fingerprint"]) == ("checking", None)
    return dict(target)


def tried(api: LiveApi, worker: Service, target: dict[str, Any]) -> dict[str, Any]:
    """What the target says after a worker has tried it."""
    with unit_of_work(api.services.sessions) as session:
        claimed = TaskQueue(session).claim_next_task("worker", lane="measuring", lease_s=60)
    assert claimed is not None
    assert claimed.payload == {"target": target["id"]}
    run_task(claimed, worker, shutdown=lambda: False)
    return dict(api.client.get(f"/v1/targets/{target['id']}").json())


def test_a_runtime_that_runs_here_is_ready_and_says_under_what_it_measures(api: LiveApi, worker: Service) -> None:
    target = added(api, name="quick", precision="int8", batch=2)
    known = (target["runtime"], target["provider"], target["provider_options"], target["threads"])
    assert known == ("onnxruntime", "CPUExecutionProvider", {}, 1)
    ready = tried(api, worker, target)
    assert (ready["state"], ready["error"]) == ("ready", None)
    assert (ready["fingerprint"]["precision"], ready["fingerprint"]["batch"]) == ("int8", 2)
    assert ready["fingerprint"]["runtime_version"]
    assert api.stranger.get(f"/v1/targets/{target['id']}").status_code == 404


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"provider": "NoSuchExecutionProvider"}, "not installed; there are .*CPUExecutionProvider"),
        ({"provider_options": {"device_id": "0"}}, "no option device_id"),
        ({"threads": 256}, "256 threads are asked for; this machine has"),
    ],
)
def test_a_runtime_that_does_not_run_here_is_refused_with_the_reason(
    api: LiveApi, worker: Service, asked: dict[str, Any], says: str
) -> None:
    target = added(api, **asked)
    refused = tried(api, worker, target)
    assert refused["state"] == "refused"
    assert refused["error"]["type"] == "urn:netadapt:problem:measurement-failed"
    assert re.search(says, refused["error"]["detail"])


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"threads": 0}, "/threads"),
        ({"threads": 10_000}, "/threads"),
        ({"threads": "2"}, "/threads"),
        ({"batch": 0}, "/batch"),
        ({"batch": True}, "/batch"),
        ({"runtime": "tvm"}, "/runtime"),
        ({"runtime": "torch", "precision": "int8"}, "/precision"),
        ({"precision": "int4"}, "/precision"),
        ({"runtime": "torch", "provider": "CPUExecutionProvider"}, "/provider"),
        ({"runtime": "torch", "provider_options": {"a": "b"}}, "/provider_options"),
        ({"provider": "../../bin/sh"}, "/provider"),
        ({"provider_options": {"a": 1}}, "/provider_options/a"),
        ({"provider_options": ["a"]}, "/provider_options"),
        ({"provider_options": {"turbo": "1"}}, "/provider_options"),
        ({"provider_options": {"trt_extra_plugin_lib_paths": "/data/files/blobs/ab/abcd"}}, "/provider_options"),
        ({"provider_options": {"device_id": "0", "backend_path": "libx.so"}}, "/provider_options"),
        ({"provider_options": {"user_compute_stream": "140244"}}, "/provider_options"),
        ({"name": " "}, "/name"),
        ({"thread": 2}, "/thread"),
        ({"kind": "agent"}, "/kind"),
        ({"kind": ["local"]}, "/kind"),
    ],
)
def test_what_no_machine_can_do_is_refused_by_field(api: LiveApi, asked: dict[str, Any], pointer: str) -> None:
    answer = api.client.post("/v1/targets", json={"kind": "local", **asked})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_torch_on_the_processor_needs_no_provider_to_be_named(api: LiveApi) -> None:
    target = added(api, runtime="torch")
    assert target["provider"] == "cpu"
    _give_up(api, target)


def test_a_target_whose_check_killed_every_worker_is_refused(api: LiveApi) -> None:
    target = added(api)
    _give_up(api, target)
    with unit_of_work(api.services.sessions) as session:
        TargetRepository(session).refuse_abandoned()
    found = api.client.get(f"/v1/targets/{target['id']}").json()
    assert (found["state"], found["error"]["type"]) == ("refused", "urn:netadapt:problem:check-failed")


def _give_up(api: LiveApi, target: dict[str, Any]) -> None:
    """The task is claimed by workers that die, until nobody claims it any more."""
    for _ in range(MAX_ATTEMPTS):
        with unit_of_work(api.services.sessions) as session:
            assert TaskQueue(session).claim_next_task("worker", lane="measuring", lease_s=-1) is not None
    with unit_of_work(api.services.sessions) as session:
        assert TaskQueue(session).claim_next_task("worker", lane="measuring", lease_s=60) is None
        task = TaskQueue(session).find_latest(TARGET_CHECK_TASK, target["id"])
    assert task is not None
    assert task.state == "failed"
