"""What every answer tells a browser, and pages that load nothing from elsewhere."""

import re
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from app.json_body import MAX_MEMBERS
from app.security_headers import HEADERS
from app.settings import Settings
from tests.served_app import ServedApp, served_app


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    with served_app(Settings(data_dir=tmp_path_factory.mktemp("service"))) as running:
        yield running


@pytest.fixture(scope="module")
def client(app: ServedApp) -> Iterator[httpx.Client]:
    with app.client() as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/v1/jobs", {}, 200),
        ("GET", "/healthz", {}, 200),
        ("GET", "/metrics", {}, 200),
        ("GET", "/openapi.json", {}, 200),
        ("GET", "/nowhere", {}, 404),
        ("PUT", "/v1/jobs", {}, 405),
        ("POST", "/v1/jobs", {}, 415),
        ("GET", "/v1/jobs?limit=0", {}, 422),
        ("GET", "/v1/jobs", {"Host": "evil.example"}, 403),
        ("GET", "/v1/jobs?token=x", {}, 400),
        ("GET", "/v1/jobs", {"Authorization": "Bearer x"}, 401),
        ("DELETE", "/v1/session", {}, 204),
        ("GET", "/v1/jobs", {"X-Bomb": "x" * 40_000}, 431),
    ],
)
def test_every_answer_has_them(client, method, path, headers, status):
    answer = client.request(method, path, headers=headers)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in HEADERS} == dict(HEADERS)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "strict-transport-security" not in answer.headers  # without TLS it would lock browsers out
    assert "server" not in answer.headers


def test_a_fault_of_ours_has_them_too(client, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("app.jobs.router.JobRepository.list_jobs", fail)
    answer = client.get("/v1/jobs")
    assert answer.status_code == 500
    assert {name: answer.headers.get(name) for name in HEADERS} == dict(HEADERS)


def test_the_documentation_is_made_of_files_of_ours_alone_and_of_no_inline_script(client):
    page = client.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "http" not in policy
    assert "unsafe" not in policy
    assert re.findall(r"<script(?![^>]* src=)", page.text) == []
    assert re.findall(r"\son\w+=", page.text) == []
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(loaded) == 4
    for path in loaded:
        assert path.startswith("/docs/")
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"].split(";")[0] in {"text/javascript", "text/css", "image/png"}
    assert "/openapi.json" in client.get("/docs/start.js").text


@pytest.mark.parametrize(
    "path", ["/redoc", "/docs/oauth2-redirect", "/docs/../pyproject.toml", "/docs/%2e%2e%2fsetup.py"]
)
def test_there_is_no_other_page_and_no_other_file(client, path):
    assert client.get(path).status_code in {404, 422}


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "a\r\nSet-Cookie: x", "\x1b[31m", "\u202e", "<img onerror=x>"]
)
def test_what_a_request_said_comes_back_harmless(client, text):
    answers = [
        client.get(f"/v1/jobs/{quote(text)}"),
        client.post("/v1/jobs", json={"model": "m", "budget": {"macs": "50%"}, text: 1}),
        client.post("/v1/models", files={text: b"x"}),
        client.post("/v1/session", json={"token": "x", text: text}),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert not {"<", "\r", "\n", "\x1b", "\u202e"} & set(answer.text)
        assert "set-cookie" not in answer.headers
        assert all(each.isprintable() for each in answer.json()["detail"])


def test_a_name_of_megabytes_does_not_come_back(tmp_path):
    settings = Settings(data_dir=tmp_path, max_body_bytes=32 * 1024 * 1024)
    with served_app(settings) as app, app.client() as client:
        name = "n" * (10 * 1024 * 1024)
        budget = {"macs": "50%"}
        for body in (
            {"model": "m", "budget": budget, name: 1},
            {"model": "m", "budget": budget, "settings": {name: 1}},
            {"model": name, "budget": budget},
            {"model": "m", "budget": {name: 1}},
            {"model": "m", "budget": {"macs": name}},
            {"model": "m", "budget": budget, "settings": {"pick": name}},
        ):
            answer = client.post("/v1/jobs", json=body)
            assert answer.status_code == 422
            assert len(answer.content) < 20_000
        twice = f'{{"{name}": 1, "{name}": 2}}'
        answer = client.post("/v1/jobs", content=twice, headers={"Content-Type": "application/json"})
        assert (answer.status_code, len(answer.content) < 20_000) == (400, True)


def test_a_body_of_nothing_but_faults_is_answered_with_the_first_of_them(client):
    body = {"model": "m", "budget": {"macs": "50%"}, "settings": {f"k{number}": 1 for number in range(MAX_MEMBERS)}}
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 422
    assert 0 < len(answer.json()["errors"]) <= 50


def test_a_hundred_thousand_keys_are_refused_before_any_of_them_is_looked_at(client):
    settings = {f"k{number}": 1 for number in range(60_000)}
    for path, body in (
        ("/v1/jobs", {"model": "m", "budget": {"macs": "50%"}, "settings": settings}),
        ("/v1/session", settings),
    ):
        answer = client.post(path, json=body)
        assert answer.status_code == 400
        assert "60000 members" in answer.json()["detail"]


def test_many_different_keys_and_one_twice_are_told_apart(client):
    keys = ",".join(f'"k{number}":1' for number in range(MAX_MEMBERS - 1))
    answer = client.post("/v1/jobs", content=f'{{{keys},"k500":2}}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "'k500' is given twice" in answer.json()["detail"]
