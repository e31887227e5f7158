"""Every path that the API describes, walked by a stranger: what is somebody else's is as if it were not there.

A new path is walked without a word here. A new kind of id has to be added to tests/one_of_everything.py.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from app.records import new_id
from app.settings import Settings
from tests.one_of_everything import MARK, SHAPE, one_of_everything
from tests.served_app import ServedApp, served_app

QUERIES: dict[str, str] = {"lease": "1", "format": "onnx"}
"""Parameters that some paths cannot do without."""
BODIES: dict[tuple[str, str], Any] = {
    ("post", "/v1/jobs/{job_id}/extend"): {"budget": {"macs": "10%"}},
    ("post", "/v1/jobs/{job_id}/family"): {"iterations": [1]},
    ("put", "/v1/agent/tasks/{task_id}/result"): {"failed": "it has no room"},
}
"""What has to be sent to get as far as the id."""
ACCEPTS = ("application/json", "text/event-stream")
AGENTS = "/v1/agent/"
VOLATILE = {"date", "x-request-id"}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """`ids` are ann's. Bob is nobody to her; `gadget` and `phone` are tokens of devices, his and hers."""

    app: ServedApp
    ids: dict[str, str]
    ann: httpx.Client
    bob: httpx.Client
    gadget: httpx.Client
    phone: httpx.Client
    paths: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    with served_app(Settings(data_dir=tmp_path_factory.mktemp("service"))) as app:
        tokens = [app.create_token(owner, role=role) for owner in ("ann", "bob") for role in ("user", "agent")]
        ann, phone, bob, gadget = (app.client(token) for token in tokens)
        with ann, phone, bob, gadget:
            ids = one_of_everything(app, ann, "ann")
            paths = ann.get("/openapi.json").json()["paths"]
            yield Setting(app=app, ids=ids, ann=ann, bob=bob, gadget=gadget, phone=phone, paths=paths)


def operations(here: Setting) -> Iterator[tuple[str, str]]:
    for path, operations in here.paths.items():
        for method in operations:
            yield method, path


def names_somebodys(path: str) -> bool:
    return "_id}" in path


def ask(
    here: Setting, client: httpx.Client, method: str, path: str, ids: dict[str, str], accept: str = ACCEPTS[0]
) -> httpx.Response:
    unknown = set(re.findall(r"\{(\w+)\}", path)) - set(ids)
    assert not unknown, f"{path} names {unknown}: add one to tests/one_of_everything.py"
    parameters = here.paths[path][method].get("parameters", [])
    needed = [each["name"] for each in parameters if each["in"] == "query" and each["required"]]
    body = BODIES.get((method, path))
    headers = {"Accept": accept}
    query = {name: QUERIES[name] for name in needed}
    return client.request(method, path.format(**ids), params=query, headers=headers, json=body)


def seen(answer: httpx.Response, ids: dict[str, str]) -> tuple[int, bytes, list[tuple[str, str]]]:
    """All of an answer, with a word in place of the id that was asked for."""
    content = re.sub(rb',?"request_id":"[^"]*"', b"", answer.content)
    for value in ids.values():
        if "_" in value:
            content = content.replace(value.encode(), b"<the id>")
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in VOLATILE)
    return answer.status_code, content, headers


def nobodys(ids: dict[str, str]) -> dict[str, str]:
    """Ids of the same form that do not exist."""
    return {name: new_id(value.partition("_")[0]) if "_" in value else value for name, value in ids.items()}  # type: ignore[arg-type]


def test_the_walk_comes_by_everything_that_has_an_owner(here: Setting) -> None:
    kinds = {kind for _, path in operations(here) for kind in re.findall(r"\{(\w+_id)\}", path)}
    assert {"job_id", "model_id", "dataset_id", "target_id", "task_id"} <= kinds <= set(here.ids)


def test_the_owner_is_answered_wherever_she_reads(here: Setting) -> None:
    """Otherwise a stranger's 404 would say nothing."""
    for method, path in operations(here):
        if method == "get" and names_somebodys(path):
            answer = ask(here, here.phone if path.startswith(AGENTS) else here.ann, method, path, here.ids)
            assert answer.status_code == 200, (path, answer.text)


def test_what_is_somebody_elses_is_answered_like_what_does_not_exist(here: Setting) -> None:
    walked = 0
    for (method, path), client, accept in itertools.product(operations(here), (here.bob, here.gadget), ACCEPTS):
        if not names_somebodys(path):
            continue
        without = nobodys(here.ids)
        hers = seen(ask(here, client, method, path, here.ids, accept), here.ids)
        none = seen(ask(here, client, method, path, without, accept), without)
        assert hers == none, (method, path)
        device = client is here.gadget and not path.startswith(AGENTS)
        assert hers[0] == (403 if device else 404), (method, path, hers)
        assert MARK.encode() not in hers[1]
        walked += 1
    assert walked > 60


def test_a_device_of_the_owner_opens_nothing_but_its_own_paths(here: Setting) -> None:
    for method, path in operations(here):
        if names_somebodys(path) and not path.startswith(AGENTS):
            assert ask(here, here.phone, method, path, here.ids).status_code == 403


def test_nothing_that_a_stranger_reads_names_anything_of_hers(here: Setting) -> None:
    secrets = [MARK, SHAPE, *(value for value in here.ids.values() if "_" in value)]
    shared = {"{target_id}": "local", "{dataset_id}": "digits", "{number}": "0"}
    for method, path in operations(here):
        for name, value in shared.items():
            path = path.replace(name, value)
        if method == "get" and "{" not in path:
            answer = here.bob.get(path)
            assert answer.status_code == (404 if path.endswith("/lookup-table") else 200), path
            assert not [secret for secret in secrets if secret in answer.text], path
    assert SHAPE in here.ann.get("/v1/targets/local/lookup-table").text


def test_no_filter_tells_whether_somebody_elses_exists(here: Setting) -> None:
    none = nobodys(here.ids)
    for method, path in operations(here):
        parameters = here.paths[path][method].get("parameters", [])
        named = [each["name"] for each in parameters if each["in"] == "query" and f"{each['name']}_id" in here.ids]
        for name in named if method == "get" else ():
            shared = path.format(**{**here.ids, "target_id": "local", "dataset_id": "digits"})
            hers, nothing = (
                seen(here.bob.get(shared, params={name: ids[f"{name}_id"]}), ids) for ids in (here.ids, none)
            )
            assert hers == nothing, (path, name)


@pytest.mark.parametrize("field", ["model", "dataset", "target"])
@pytest.mark.parametrize("query", ["", "?validate_only=true"])
def test_no_job_and_no_question_can_be_about_somebody_elses(here: Setting, field: str, query: str) -> None:
    def asked(ids: dict[str, str]) -> dict[str, Any]:
        own = {"model": "mobilenet_v2_0.35", "dataset": "digits", "target": "local"}
        return {**own, field: ids[f"{field}_id"], "budget": {"macs": "50%"}}

    none = nobodys(here.ids)
    hers, nothing = (seen(here.bob.post(f"/v1/jobs{query}", json=asked(ids)), ids) for ids in (here.ids, none))
    assert hers == nothing
    assert hers[0] == 404
    assert here.bob.get("/v1/models").json()["data"] == []  # what the zoo name made is gone again


@pytest.mark.parametrize("what", [{"from": "target_id"}, {"from": "local", "model": "model_id"}])
def test_no_table_can_be_taken_of_somebody_elses(here: Setting, what: dict[str, str]) -> None:
    none = nobodys(here.ids)
    answers = []
    for ids in (here.ids, none):
        asked = {key: ids.get(value, value) for key, value in what.items()}
        answers.append(seen(here.bob.post("/v1/targets", json={"kind": "table", **asked}), ids))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


def test_the_same_idempotency_key_of_two_owners_is_two_keys(here: Setting) -> None:
    asked = {"kind": "local", "name": "twice", "threads": 2}
    first, second = (
        client.post("/v1/targets", json=asked, headers={"Idempotency-Key": "the-same"})
        for client in (here.ann, here.bob)
    )
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]
    assert here.bob.delete(second.headers["location"]).status_code == 204


def test_the_same_bytes_of_two_owners_are_new_to_each(here: Setting) -> None:
    content = here.ann.get(f"/v1/datasets/{here.ids['dataset_id']}").json()
    with here.app.services.storage.local_path(content["sha256"]) as path:
        answer = here.bob.post("/v1/datasets", files={"file": ("d.npz", path.read_bytes())})
    assert answer.status_code == 201
    assert answer.json()["id"] != here.ids["dataset_id"]
    assert here.bob.delete(answer.headers["location"]).status_code == 204


def test_after_all_that_everything_of_hers_is_as_it_was(here: Setting) -> None:
    for kind, collection in (("model", "models"), ("dataset", "datasets"), ("target", "targets"), ("job", "jobs")):
        assert here.ann.get(f"/v1/{collection}/{here.ids[f'{kind}_id']}").status_code == 200
    assert here.ann.get(f"/v1/jobs/{here.ids['job_id']}").json()["state"] == "failed"
