"""Who may ask, over real HTTP: tokens, the dashboard's cookie, and the pages of other sites."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.auth import BindRefused, TokenRepository, check_bind
from app.database import unit_of_work
from app.jobs.records import NewJob
from app.jobs.repository import JobRepository
from app.records import Caller
from app.settings import Settings
from app.tables import SessionRow, TokenRow
from tests.rows import add_model
from tests.served_app import ServedApp, served_app
from tests.terminal import Terminal


@pytest.fixture(scope="module")
def app(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    folder = tmp_path_factory.mktemp("service")
    settings = Settings(data_dir=folder, database_url=database_url, allowed_hosts="netadapt.example, api")
    with served_app(settings) as running:
        running.create_token("ann")
        yield running


@pytest.fixture
def anybody(app: ServedApp) -> Iterator[httpx.Client]:
    with app.client() as client:
        yield client


def test_without_any_token_everybody_on_this_machine_may_ask(tmp_path):
    with served_app(Settings(data_dir=tmp_path)) as app, app.client() as client:
        assert client.get("/v1/jobs").status_code == 200
        assert client.get("/v1/info").json()["sign_in_required"] is False
        token_id = app.create_token("ann") and client.get("/v1/jobs").status_code
        assert token_id == 401


def test_revoking_the_last_token_does_not_open_the_service(tmp_path):
    with served_app(Settings(data_dir=tmp_path)) as app, app.client() as client:
        with unit_of_work(app.sessions) as session:
            tokens = TokenRepository(session)
            token, secret = tokens.create_token("ann")
        with app.client(secret) as ann:
            assert ann.get("/v1/jobs").status_code == 200
            with unit_of_work(app.sessions) as session:
                TokenRepository(session).revoke_token(token.id)
            assert ann.get("/v1/jobs").status_code == 401
        assert client.get("/v1/jobs").status_code == 401


def test_with_tokens_only_a_valid_one_opens_and_401_says_how(app, anybody):
    answer = anybody.get("/v1/jobs")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["type"] == "urn:netadapt:problem:sign-in-needed"
    for header in ("Bearer nat_wrong", "Bearer", "Basic YTpi", "nonsense", "Bearer \xe4"):
        answer = anybody.get("/v1/jobs", headers={"Authorization": header.encode("latin-1")})
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:netadapt:problem:bad-credentials")
    with app.client(app.create_token("ann")) as ann:
        assert ann.get("/v1/jobs").status_code == 200


def test_the_secret_itself_is_not_stored(app):
    secret = app.create_token("carl")
    with app.sessions() as session:
        for row in session.query(TokenRow):
            assert secret not in {row.hash, row.id, row.name}


def test_when_a_token_was_used_last_is_noted(app):
    with unit_of_work(app.sessions) as session:
        token, secret = TokenRepository(session).create_token("dora")
    with app.client(secret) as dora:
        assert dora.get("/v1/jobs").status_code == 200
    with unit_of_work(app.sessions) as session:
        found = {listed.id: listed.last_used_at for listed in TokenRepository(session).list_tokens()}
    assert found[token.id] is not None


def test_a_devices_token_opens_nothing_but_its_own_paths(app):
    with app.client(app.create_token("ann", role="agent")) as agent:
        assert agent.get("/v1/jobs").status_code == 403


def test_a_browser_trades_its_token_for_a_cookie_that_no_script_can_read(app, anybody):
    answer = anybody.post("/v1/session", json={"token": app.create_token("ann")})
    assert answer.json()["owner"] == "ann"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert anybody.get("/v1/jobs").status_code == 200
    with app.sessions() as session:
        assert all(row.hash not in cookie for row in session.query(SessionRow))
    stolen = dict(anybody.cookies)
    assert anybody.delete("/v1/session").status_code == 204
    assert anybody.get("/v1/jobs").status_code == 401
    with app.client() as thief:
        thief.cookies.update(stolen)
        assert thief.get("/v1/jobs").status_code == 401


def test_a_wrong_token_gets_no_cookie(anybody):
    answer = anybody.post("/v1/session", json={"token": "nat_wrong"})
    assert (answer.status_code, answer.headers.get("set-cookie")) == (401, None)


def test_a_revoked_token_ends_its_sessions(app, anybody):
    with unit_of_work(app.sessions) as session:
        token, secret = TokenRepository(session).create_token("ann")
    assert anybody.post("/v1/session", json={"token": secret}).status_code == 200
    with unit_of_work(app.sessions) as session:
        TokenRepository(session).revoke_token(token.id)
    assert anybody.get("/v1/jobs").status_code == 401


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "8.8.8.8",
        "",
        "localhost.evil.example:80",
        "localhost.",
        "localhost:80:80",
        "localhost:8000x",
        "user@localhost",
        "localhost/evil.example",
        "[::1]evil.example",
        "[::1",
        "::1",
        "[::ffff:8.8.8.8]",
        "127.1",
        "2130706433",
        "localhost, evil.example",
    ],
)
def test_a_host_that_is_not_ours_is_refused_everywhere(anybody, host):
    for path in ("/healthz", "/v1/jobs", "/docs", "/nowhere"):
        answer = anybody.get(path, headers={"Host": host})
        assert answer.status_code in {400, 403}  # an empty one the server itself refuses
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "127.8.9.10", "[::1]:80", "[::1]", "NetAdapt.example", "api:8000"],
)
def test_our_own_names_are_accepted(anybody, host):
    assert anybody.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "nonsense"},
        {"Origin": "file://"},
        {"Origin": ""},
        {"Origin": "ftp://127.0.0.1"},
        {"Origin": "http://user@127.0.0.1"},
    ],
)
def test_a_page_of_another_origin_may_not_write_and_gets_no_cors_header(app, headers):
    with app.client(app.create_token("ann")) as ann:
        for method, path in (("POST", "/v1/jobs"), ("DELETE", "/v1/jobs/job_x"), ("POST", "/v1/session")):
            answer = ann.request(method, path, headers=headers)
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:netadapt:problem:forbidden")
        answer = ann.options("/v1/jobs", headers={**headers, "Access-Control-Request-Method": "POST"})
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_a_page_of_another_site_reads_nothing_but_a_link_to_a_page_of_ours_leads_there(app):
    with app.client(app.create_token("ann")) as ann:
        for site, mode in itertools.product(("cross-site", "same-site"), ("no-cors", "cors", "websocket", "")):
            answer = ann.get("/v1/jobs", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode})
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:netadapt:problem:forbidden")
        assert ann.get("/docs", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).is_success
        assert ann.get("/v1/jobs", headers={"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}).is_success


def test_what_is_said_of_the_host_beside_the_host_header_changes_nothing(app, anybody):
    for name in ("X-Forwarded-Host", "X-Host", "X-Original-Host", "Forwarded"):
        assert anybody.get("/healthz", headers={name: "evil.example"}).status_code == 200
        assert anybody.get("/healthz", headers={"Host": "evil.example", name: "localhost"}).status_code == 403
    origin = {"Origin": "http://evil.example", "X-Forwarded-Host": "evil.example"}
    assert anybody.delete("/v1/session", headers=origin).status_code == 403


@pytest.mark.parametrize("target", [b"http://evil.example/healthz", b"http://127.0.0.1/healthz", b"*", b"evil:443"])
def test_a_target_that_is_no_path_is_refused(anybody, target):
    request = anybody.build_request("OPTIONS", "/healthz", extensions={"target": target})
    assert anybody.send(request).status_code == 400


def test_what_a_proxy_hands_on_needs_a_token_however_near_the_proxy_is(tmp_path):
    with served_app(Settings(data_dir=tmp_path)) as app, app.client() as client:
        assert client.get("/v1/jobs").status_code == 200
        for name in ("X-Forwarded-For", "Forwarded", "Via"):
            assert client.get("/v1/jobs", headers={name: "8.8.8.8"}).status_code == 401


def test_our_own_page_may_write(app, anybody):
    headers = {"Origin": app.url, "Sec-Fetch-Site": "same-origin"}
    assert anybody.delete("/v1/session", headers=headers).status_code == 204


def test_a_token_in_the_address_is_refused(anybody):
    for query in ("token=x", "access_token=x", "a=1&Token=x", "to%6ben=x", "authorization=Bearer%20x", "api_key="):
        assert anybody.get(f"/v1/jobs?{query}").status_code == 400


def test_one_of_our_tokens_is_refused_anywhere_in_the_address_and_not_repeated(app, anybody):
    secret = app.create_token("ann")
    encoded = "".join(f"%{ord(char):02x}" for char in secret)
    queries = [f"cursor={secret}", f"cursor={encoded}", f"{encoded}=", encoded]
    paths = [f"/v1/jobs/{secret}", f"/v1/jobs/{encoded}", f"/v1/jobs/x%2F{secret}/events"]
    for path in (*paths, *(f"/v1/jobs?{query}" for query in queries)):
        answer = anybody.get(path)
        assert answer.status_code == 400
        assert secret not in answer.text


def test_an_address_of_kilobytes_is_refused(anybody):
    for path in ("/v1/jobs/" + "x" * 9000, "/v1/jobs?cursor=" + "x" * 9000):
        answer = anybody.get(path)
        assert (answer.status_code, answer.json()["type"]) == (414, "urn:netadapt:problem:address-too-long")
        assert len(answer.content) < 1000


def test_signing_in_gives_a_new_cookie_and_ends_the_one_that_was_brought(app, anybody):
    token = app.create_token("ann")
    anybody.cookies.set("netadapt_session", "chosen-by-somebody-else")
    first = anybody.post("/v1/session", json={"token": token}).cookies["netadapt_session"]
    assert first != "chosen-by-somebody-else"
    anybody.cookies.clear()
    anybody.cookies.set("netadapt_session", first)
    second = anybody.post("/v1/session", json={"token": token}).cookies["netadapt_session"]
    assert second != first
    for cookie, status in ((first, 401), ("chosen-by-somebody-else", 401), (second, 200)):
        with app.client() as browser:
            browser.cookies.set("netadapt_session", cookie)
            assert browser.get("/v1/jobs").status_code == status


def test_behind_tls_the_cookie_is_for_tls_alone_and_so_is_the_service(tmp_path):
    settings = Settings(data_dir=tmp_path, behind_tls=True)
    with served_app(settings) as app, app.client() as browser:
        token = app.create_token("ann")
        host = app.url.removeprefix("http://")
        plain = browser.post("/v1/session", json={"token": token}, headers={"Origin": f"http://{host}"})
        assert plain.status_code == 403
        answer = browser.post("/v1/session", json={"token": token}, headers={"Origin": f"https://{host}"})
        assert "Secure" in answer.headers["set-cookie"]
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert "Secure" in browser.delete("/v1/session").headers["set-cookie"]


def test_a_cookie_does_not_outweigh_a_bad_token(app, anybody):
    assert anybody.post("/v1/session", json={"token": app.create_token("ann")}).is_success
    assert anybody.get("/v1/jobs", headers={"Authorization": "Bearer nat_wrong"}).status_code == 401


def test_nobody_listens_beyond_this_machine_without_a_token():
    for host in ("127.0.0.1", "::1", "localhost", "127.0.0.2"):
        check_bind(host, tokens_exist=False)
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        check_bind(host, tokens_exist=True)
        with pytest.raises(BindRefused, match="token"):
            check_bind(host, tokens_exist=False)


def test_a_stream_that_is_open_when_its_token_is_revoked_ends(app, monkeypatch):
    monkeypatch.setattr("app.jobs.events_stream.ASK_EVERY_S", 0.0)
    with unit_of_work(app.sessions) as session:
        token, secret = TokenRepository(session).create_token("zoe")
        add_model(session, "mdl_z", owner="zoe")
    with app.client(secret) as zoe:
        with unit_of_work(app.sessions) as session:
            new = NewJob(name=None, model_id="mdl_z", dataset_id="digits", target_id="local", budget={}, settings={})
            job_id = JobRepository(session).add_job(Caller(id="zoe"), new).id
        with zoe.stream("GET", f"/v1/jobs/{job_id}/events", headers={"Accept": "text/event-stream"}) as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("event: state")
            with unit_of_work(app.sessions) as session:
                TokenRepository(session).revoke_token(token.id)
            assert not [line for line in lines if "cancelled" in line]  # it ends, or this would wait for ever


def test_a_new_token_says_which_service_it_opens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("NETADAPT_DATA_DIR", str(tmp_path / "elsewhere"))
    code, _, said = Terminal(monkeypatch, capsys).run("token", "create", "mine")
    assert code == 0
    assert str(tmp_path / "elsewhere" / "netadapt.db") in said
