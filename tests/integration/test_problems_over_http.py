"""Every error is a problem+json, whatever was sent and wherever; and OpenAPI says what is answered."""

from collections.abc import Iterator

import anyio
import httpx
import pytest

from app.database import migrate
from app.dependencies import close_services
from app.main import create_app
from app.problem_documents import problem_document
from app.problems import BY_STATUS, PROBLEMS
from app.settings import Settings
from tests.served_app import ServedApp, served_app


@pytest.fixture(scope="module")
def app(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    with served_app(Settings(data_dir=tmp_path_factory.mktemp("service"), database_url=database_url)) as running:
        yield running


@pytest.fixture(scope="module")
def client(app: ServedApp) -> Iterator[httpx.Client]:
    with app.client() as client:
        yield client


def is_problem(answer: httpx.Response, status: int) -> bool:
    document = answer.json()
    return (
        (answer.status_code, document["status"]) == (status, status)
        and answer.headers["content-type"] == "application/problem+json"
        and document["type"].startswith("urn:netadapt:problem:")
        and all(document[key] for key in ("title", "detail"))
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/jobs/", 404),
        ("GET", "/v1/jobs/job_nobody", 404),
        ("GET", "/v1/models/mdl_nobody", 404),
        ("GET", "/v1/datasets/dst_nobody", 404),
        ("GET", "/v1/targets/tgt_nobody", 404),
        ("PUT", "/v1/jobs", 405),
        ("GET", "/v1/jobs?limit=0", 422),
        ("GET", "/v1/jobs?limit=501", 422),
        ("GET", "/v1/jobs?limit=ten", 422),
        ("GET", "/v1/jobs?state=splendid", 422),
        ("GET", "/v1/jobs?cursor=%F0%9F%8D%95", 422),
        ("GET", "/v1/jobs?cursor=W1sxXSwiIl0", 422),
        ("GET", "/v1/jobs?model=%00", 400),
        ("GET", "/v1/jobs/%00", 400),
        ("GET", "/v1/jobs/%ff", 400),
        ("GET", "/v1/jobs/x/iterations/99999999999999999999/proposals", 422),
        ("GET", "/v1/jobs/x/events?after=-1", 422),
        ("GET", "/v1/jobs/x/checkpoints/0/file", 422),
        ("POST", "/v1/jobs", 415),
        ("POST", "/v1/jobs/x/cancel", 404),
    ],
)
def test_a_request_that_cannot_be_answered_gets_a_problem(client, method, path, status):
    assert is_problem(client.request(method, path), status)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/jobs", "GET, POST"),
        ("OPTIONS", "/v1/jobs/job_a", "DELETE, GET"),
        ("GET", "/v1/jobs/job_a/cancel", "POST"),
        ("PATCH", "/v1/jobs/job_a/checkpoints/final/file", "GET, HEAD"),
        ("DELETE", "/healthz", "GET"),
        ("POST", "/docs", "GET"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_told_those_that_it_takes(client, method, path, allow):
    answer = client.request(method, path)
    assert is_problem(answer, 405)
    assert answer.headers["allow"] == allow


def test_a_fault_of_ours_is_a_problem_that_tells_nothing_of_the_inside(app, client, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr("app.jobs.repository.to_job", fail)
    monkeypatch.setattr("app.jobs.router.JobRepository.list_jobs", fail)
    answer = client.get("/v1/jobs")
    assert is_problem(answer, 500)
    assert "secret" not in answer.text


def test_where_something_lies_in_memory_is_never_told():
    said = f"malformed node: {object()}, which is no number"
    assert problem_document("malformed", "Malformed", 400, said)["detail"] == (
        "malformed node: <object object>, which is no number"
    )


def test_a_database_that_is_away_is_503_and_ready_says_so(app, client, monkeypatch):
    from sqlalchemy.exc import OperationalError

    def fail(*_: object, **__: object) -> None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr("app.jobs.router.JobRepository.list_jobs", fail)
    answer = client.get("/v1/jobs")
    assert is_problem(answer, 503)
    assert "retry-after" in answer.headers
    monkeypatch.setattr("app.readiness.check_migrated", fail)
    assert is_problem(client.get("/readyz"), 503)
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
def test_a_client_that_goes_away_in_mid_request_is_no_fault_of_ours(tmp_path, kind):
    settings = Settings(data_dir=tmp_path)
    migrate(settings.database_url)
    api = create_app(settings)
    incoming = [{"type": "http.request", "body": b"--x\r\n", "more_body": True}, {"type": "http.disconnect"}]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/jobs",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", kind.encode())],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    }
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return incoming.pop(0)

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    try:
        anyio.run(api, scope, receive, send)  # what it raises, the server would log as a fault with its traceback
        assert (incoming, sent[0]["status"]) == ([], 400), sent
        assert list(api.state.services.scratch.iterdir()) == []
    finally:
        close_services(api.state.services)


def test_every_kind_of_error_has_a_slug_and_no_slug_two_meanings():
    meanings: dict[str, set[tuple[int, str]]] = {}
    for problem in [*PROBLEMS.values(), *BY_STATUS.values()]:
        meanings.setdefault(problem.slug, set()).add((problem.status, problem.title))
    assert {slug: found for slug, found in meanings.items() if len(found) > 1} == {}


def test_metrics_count_jobs_by_state(client):
    text = client.get("/metrics").text
    assert 'netadapt_jobs{state="queued"} 0' in text


class TestOpenApi:
    def test_it_names_every_path_of_the_contract(self, client):
        paths = client.get("/openapi.json").json()["paths"]
        job = "/v1/jobs/{job_id}"
        expected = {
            "/v1/jobs": {"get", "post"},
            job: {"get", "delete"},
            **{f"{job}/{action}": {"post"} for action in ("cancel", "pause", "resume", "extend", "family")},
            **{f"{job}/{part}": {"get"} for part in ("events", "iterations", "proposals", "checkpoints", "curve")},
            f"{job}/iterations/{{iteration}}/proposals": {"get"},
            f"{job}/checkpoints/{{checkpoint}}/file": {"get"},
            "/v1/models": {"get", "post"},
            "/v1/datasets": {"get", "post"},
            "/v1/targets": {"get", "post"},
            "/v1/webhooks": {"get", "post"},
            "/v1/webhooks/{webhook_id}": {"get", "delete"},
            "/v1/webhooks/{webhook_id}/deliveries": {"get"},
            "/v1/info": {"get"},
            "/v1/session": {"post", "delete"},
            "/healthz": {"get"},
            "/readyz": {"get"},
            "/metrics": {"get"},
        }
        assert {path: methods for path, methods in expected.items() if not methods <= set(paths.get(path, {}))} == {}

    def test_every_reference_leads_somewhere_and_every_operation_may_end_in_a_problem(self, client):
        schema = client.get("/openapi.json").json()
        known = {f"#/components/{kind}/{name}" for kind, named in schema["components"].items() for name in named}

        def references(value: object) -> Iterator[str]:
            if isinstance(value, dict):
                if isinstance(value.get("$ref"), str):
                    yield value["$ref"]
                for item in value.values():
                    yield from references(item)
            elif isinstance(value, list):
                for item in value:
                    yield from references(item)

        assert set(references(schema)) - known == set()
        for path in schema["paths"].values():
            for operation in path.values():
                assert "application/problem+json" in operation["responses"]["default"]["content"]
                assert {"400", "403", "429", "503"} <= operation["responses"].keys()

    def test_the_problems_of_a_status_are_named(self, client):
        schema = client.get("/openapi.json").json()
        named = schema["components"]["responses"]
        for problem in {*PROBLEMS.values(), *BY_STATUS.values()}:
            if f"Problem{problem.status}" in named:
                assert f"`{problem.slug}`" in named[f"Problem{problem.status}"]["description"]
        delete = schema["paths"]["/v1/models/{model_id}"]["delete"]
        assert {"401", "404", "409"} <= delete["responses"].keys()
        assert delete["security"] == [{}, {"bearer": []}, {"cookie": []}]
        assert not schema["paths"]["/v1/info"]["get"].get("security")

    def test_the_documentation_page_is_there(self, client):
        assert client.get("/docs").status_code == 200
