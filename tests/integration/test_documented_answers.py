"""Hundreds of requests made from the OpenAPI document: each answer is one that the document has, and none is 5xx."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.schema import tiny_network, try_api
from tests.live_api import LiveApi, live_api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    unlimited = {"requests_per_s": 0, "failed_sign_ins_per_minute": 0}  # or 429 would be most of the answers
    with live_api(tmp_path_factory.mktemp("service"), **unlimited) as running:
        yield running


@pytest.fixture(scope="module")
def known(api: LiveApi) -> dict[str, Any]:
    """A model and a queued job; the long form, `make bench NAME=schema`, has one that has run."""
    model = api.client.post("/v1/models", files={"file": ("net.pt2", tiny_network())}).json()["id"]
    job = api.client.post("/v1/jobs", json={"model": model, "budget": {"params": "80%"}}).json()["id"]
    return {"model_id": model, "job_id": job, "dataset_id": "digits", "target_id": "local", "iteration": 1}


def test_every_answer_is_as_documented(api: LiveApi, known: dict[str, Any], tmp_path: Path) -> None:
    outcome = try_api(
        str(api.client.base_url).rstrip("/"),
        api.client.get("/openapi.json").json(),
        tmp_path,
        headers={"Authorization": api.client.headers["authorization"]},
        known=known,
        examples=4,
        phases=("examples", "fuzzing", "stateful"),
    )
    assert outcome.failures == (), outcome.output
    assert outcome.requests > 100


@pytest.mark.parametrize(
    "text",
    [
        *(
            '"\\u0000"',
            '"\\ud800"',
            '"\\udfff\\ud800"',
            "NaN",
            "-Infinity",
            "1e999",
            str(2**63),
            str(-(2**70)),
            "9" * 5000,
        ),
        *("[" * 5000, '{"a":' * 100, "[" * 40 + "]" * 40, '{"a": 1, "a": 2}', '"\xff', "", "nul", "'a'", "1 2"),
    ],
)
def test_what_no_json_of_ours_may_hold_is_a_problem_wherever_json_is_taken(text: str, api: LiveApi) -> None:
    paths: dict[str, Any] = api.client.get("/openapi.json").json()["paths"]
    tried = 0
    for path, operations in paths.items():
        for method, operation in operations.items():
            if "application/json" not in operation.get("requestBody", {}).get("content", {}):
                continue
            address = path.replace("{job_id}", "job_a").replace("{task_id}", "tsk_a") + "?lease=1&wait=0"
            for body in (text, f'{{"name": {text}, "model": {text}, "token": {text}, "budget": {{"macs": {text}}}}}'):
                headers = {"Content-Type": "application/json"}
                answer = api.client.request(method, address, content=body.encode("latin-1"), headers=headers)
                assert 400 <= answer.status_code < 500, (path, answer.text)
                assert answer.headers["content-type"] == "application/problem+json"
                tried += 1
    assert tried >= 10


BOUNDARY = "xx"
PARTS: dict[str, bytes] = {
    "no end": b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
    "no parts": b"--xx--\r\n",
    "nothing": b"",
    "no name": b'--xx\r\nContent-Disposition: form-data; filename="a"\r\n\r\nabc\r\n--xx--\r\n',
    "nul name": b'--xx\r\nContent-Disposition: form-data; name="fi\0le"; filename="a"\r\n\r\nabc\r\n--xx--\r\n',
    "odd name": b'--xx\r\nContent-Disposition: form-data; name="file"; filename="\xff\0../a"\r\n\r\nabc\r\n--xx--\r\n',
    "not utf-8": b'--xx\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff\xfe\r\n--xx--\r\n',
    "nul text": b'--xx\r\nContent-Disposition: form-data; name="name"\r\n\r\na\0b\r\n--xx--\r\n',
    "nan": b'--xx\r\nContent-Disposition: form-data; name="request"\r\n\r\n{"model": NaN}\r\n--xx--\r\n',
    "header bomb": b"--xx\r\n" + b"A: b\r\n" * 20_000 + b"\r\nabc\r\n--xx--\r\n",
    "long header": b"--xx\r\nContent-Disposition: " + b"a" * 200_000 + b"\r\n\r\nabc\r\n--xx--\r\n",
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("path", ["/v1/models", "/v1/datasets", "/v1/jobs"])
def test_a_form_that_is_none_is_a_problem_and_leaves_nothing(name: str, path: str, api: LiveApi) -> None:
    before = api.stored_files()
    answer = _post(api, path, PARTS[name])
    assert 400 <= answer.status_code < 500, answer.text
    assert json.loads(answer.text)["status"] == answer.status_code
    assert len(answer.text) < 5000
    assert api.stored_files() == before


@pytest.mark.parametrize("text", ["\0", "\ud800", "x" * 70_000, "{" * 2000, "NaN", "[1e999]", "\u202eevil", "=1+1\n"])
@pytest.mark.parametrize("field", ["name", "normalization", "classes", "architecture"])
def test_a_text_field_is_taken_or_a_problem(field: str, text: str, api: LiveApi) -> None:
    content = text.encode("utf-8", "surrogatepass")
    body = b'--xx\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (field.encode(), content)
    body += b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nPK\r\n--xx--\r\n'
    answer = _post(api, "/v1/models", body)
    assert 400 <= answer.status_code < 500, answer.text
    assert len(answer.text) < 5000
    answer.text.encode()


def _post(api: LiveApi, path: str, body: bytes) -> httpx.Response:
    return api.client.post(path, content=body, headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
