"""Every request has an id, a line in the log and always an answer."""

import json
import logging
import threading
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from app.logs import make_formatter
from app.request_log import HEADER
from app.settings import Settings
from tests.served_app import ServedApp, served_app


@pytest.fixture(scope="module", name="app")
def _app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    with served_app(Settings(data_dir=tmp_path_factory.mktemp("service"))) as running:
        yield running


@pytest.fixture(name="client")
def _client(app: ServedApp) -> Iterator[httpx.Client]:
    with app.client() as client:
        yield client


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(make_formatter("json"))
        self.written: list[dict] = []
        self._more = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._more:
            self.written.append(json.loads(self.format(record)))
            self._more.notify_all()

    def of(self, request_id: str) -> list[dict]:
        """All lines of a request, once its last one is written: that comes after the answer is out."""

        def found() -> list[dict]:
            return [line for line in self.written if line.get("request_id") == request_id]

        with self._more:
            assert self._more.wait_for(lambda: any("duration_ms" in line for line in found()), 30)
            return found()


@pytest.fixture(name="log")
def _log() -> Iterator[Lines]:
    root, lines = logging.getLogger(), Lines()
    level = root.level
    root.addHandler(lines)
    root.setLevel(logging.INFO)
    yield lines
    root.removeHandler(lines)
    root.setLevel(level)


def test_each_answer_names_its_request(client):
    first, second = (client.get("/v1/info").headers[HEADER] for _ in range(2))
    assert first != second
    assert first.startswith("req_")


@pytest.mark.parametrize("own", ["abc-123", "0af7651916cd43dd8448eb211c80319c", "a:b.c_d"])
def test_a_sane_id_of_the_caller_is_kept(client, own):
    assert client.get("/v1/info", headers={HEADER: own}).headers[HEADER] == own


@pytest.mark.parametrize("own", ["", "a b", "x" * 101, 'a"}', "ä".encode(), "<script>", "a,b"])
def test_any_other_is_replaced(client, own):
    assert client.get("/v1/info", headers={HEADER: own}).headers[HEADER].startswith("req_")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (("GET", "/nowhere"), 404),
        (("GET", "/v1/jobs/job_x"), 404),
        (("POST", "/v1/jobs"), 415),
        (("GET", "/v1/jobs?token=x"), 400),
        (("GET", "/v1/jobs?limit=0"), 422),
    ],
)
def test_every_problem_has_the_id_in_its_document_and_in_the_log(client, log, request_, status):
    answer = client.request(*request_)
    assert answer.status_code == status
    assert answer.json()["request_id"] == answer.headers[HEADER]
    (line,) = log.of(answer.headers[HEADER])
    assert (line["logger"], line["status"], line["client"]) == ("app.request_log", status, "127.0.0.1")


def test_what_the_gate_refuses_has_one_too(client, log):
    answer = client.get("/v1/jobs", headers={"Host": "evil.example"})
    assert answer.json()["request_id"] == answer.headers[HEADER]
    assert [line["status"] for line in log.of(answer.headers[HEADER])] == [403]


def test_a_fault_of_ours_is_answered_and_its_traceback_is_found_by_the_id(client, log, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr("app.jobs.router.JobRepository.list_jobs", fail)
    answer = client.get("/v1/jobs", headers={HEADER: "find-me"})
    assert (answer.status_code, answer.json()["request_id"]) == (500, "find-me")
    assert "secret" not in answer.text
    fault, *_, line = log.of("find-me")
    assert (fault["level"], line["status"], line["route"]) == ("error", 500, "/v1/jobs")
    assert fault["exception"].endswith("RuntimeError: a secret of the inside")


def test_a_line_says_what_was_asked_but_not_what_follows_the_question_mark(client, log):
    answer = client.get("/v1/jobs/job_abc/events?after=5&key=hidden", headers={"Authorization": "Bearer nat_hidden"})
    (line,) = log.of(answer.headers[HEADER])
    assert line["message"] == "GET /v1/jobs/job_abc/events 401"
    assert line["route"] == "/v1/jobs/{job_id}/events"
    assert line["duration_ms"] > 0
    ours = [each for each in log.written if each["logger"] != "httpx"]  # which is the client here
    assert "hidden" not in json.dumps(ours)


def test_a_path_cannot_forge_a_line(client, log):
    answer = client.get('/v1/jobs/a%0A%7B"level":"critical"%7D%1b[31m')
    (line,) = log.of(answer.headers[HEADER])
    assert line["level"] == "info"


def test_probes_are_no_lines(client, log):
    for path in ("/healthz", "/readyz", "/metrics"):
        client.get(path)
    after = client.get("/v1/info").headers[HEADER]
    assert {line["request_id"] for line in log.of(after) + log.written if "request_id" in line} == {after}


def test_no_secret_is_logged_with_a_statement_that_failed(app, client, log, monkeypatch):
    from app.database import unit_of_work
    from app.tables import WebhookRow

    with pytest.raises(Exception, match="parameters hidden") as failed, unit_of_work(app.sessions) as session:
        session.add(WebhookRow(id="whk_x", owner="ann", url=None, secret="whsec_hidden", events=[]))
    assert "whsec_hidden" not in str(failed.value)

    def away(*_: object, **__: object) -> None:
        raise OperationalError("SELECT 1", {"hash": "hidden"}, Exception("gone"), hide_parameters=True)

    monkeypatch.setattr("app.jobs.router.JobRepository.list_jobs", away)
    answer = client.get("/v1/jobs")
    assert (answer.status_code, len(log.of(answer.headers[HEADER]))) == (503, 2)
    assert "'hidden'" not in json.dumps(log.written)
