"""How often somebody may ask, over real HTTP."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from sqlalchemy import update

from app.database import unit_of_work
from app.settings import Settings
from app.tables import JobRow
from tests.one_of_everything import one_of_everything
from tests.served_app import ServedApp, served_app


@contextmanager
def limited(folder: Path, **limits: int) -> Iterator[ServedApp]:
    with served_app(Settings(data_dir=folder, **limits)) as app:
        yield app


def is_refused(answer: httpx.Response) -> bool:
    told = answer.headers.get("retry-after", "")
    return answer.status_code == 429 and answer.json()["type"].endswith(":too-many-requests") and int(told) >= 1


def test_each_token_has_its_own_limit_and_is_told_when_to_go_on(tmp_path):
    with limited(tmp_path, requests_per_s=1, requests_burst=10) as app:
        ann, bob = (app.client(app.create_token(owner)) for owner in ("ann", "bob"))
        with ann, bob:
            answers = [ann.get("/v1/jobs") for _ in range(40)]
            assert [answer.status_code for answer in answers[:10]] == [200] * 10
            assert is_refused(answers[-1])
            assert {answer.status_code for answer in answers} == {200, 429}
            assert bob.get("/v1/jobs").status_code in {200, 429}  # once counted for the address they share


def test_the_limits_are_told(tmp_path):
    with limited(tmp_path, requests_burst=300, max_job_s=7) as app, app.client() as client:
        limits = client.get("/v1/info").json()["limits"]
        assert (limits["requests_burst"], limits["max_job_s"], limits["max_stored_bytes_per_owner"]) == (300, 7, 0)


def test_what_needs_no_sign_in_is_limited_by_address(tmp_path):
    with limited(tmp_path, requests_per_s=1, requests_burst=10) as app, app.client() as client:
        assert is_refused([client.get("/healthz") for _ in range(40)][-1])


def test_only_a_proxy_that_is_trusted_says_whose_request_it_is(tmp_path):
    def last_of_many(app: ServedApp) -> httpx.Response:
        with app.client() as client:
            addresses = [f"9.9.9.{number}" for number in range(40)]
            return [client.get("/healthz", headers={"X-Forwarded-For": each}) for each in addresses][-1]

    (tmp_path / "a").mkdir()
    with limited(tmp_path / "a", requests_per_s=1, requests_burst=10) as app:
        assert is_refused(last_of_many(app))
    with served_app(
        Settings(data_dir=tmp_path / "b", requests_per_s=1, requests_burst=10, trusted_proxies="10.0.0.0/8, 127.0.0.1")
    ) as app:
        assert last_of_many(app).status_code == 200
        with app.client() as client:
            headers = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https"}
            answer = client.post("/v1/session", json={"token": app.create_token("ann")}, headers=headers)
            assert "Secure" in answer.headers["set-cookie"]


def test_a_new_guess_each_time_is_no_way_around_the_limit(tmp_path):
    with limited(tmp_path, requests_per_s=1, requests_burst=10) as app:
        app.create_token("ann")
        with app.client() as client:
            headers = [{"Authorization": f"Bearer guess-{number}"} for number in range(40)]
            assert is_refused([client.get("/v1/info", headers=each) for each in headers][-1])


def test_a_token_that_is_spelt_otherwise_each_time_has_no_further_limits(tmp_path):
    with limited(tmp_path, requests_per_s=1, requests_burst=10) as app:
        token = app.create_token("ann")
        with app.client() as client:
            spellings = [f"{scheme}{token}" for scheme in ("Bearer ", "bearer ", "BEARER ", "beareR ", "Bearer  ")]
            asked = [{"Authorization": spelling} for spelling in spellings for _ in range(10)]
            answered = [client.get("/v1/jobs", headers=each).status_code for each in asked]
            assert answered.count(200) < 30  # ten by the address, ten by the token, and what flows in meanwhile


def test_failed_sign_ins_are_limited_harder_and_whoever_is_known_goes_on(tmp_path):
    with limited(tmp_path, failed_sign_ins_per_minute=5) as app:
        ann, client = app.client(app.create_token("ann")), app.client()
        with ann, client:
            assert ann.get("/v1/jobs").status_code == 200
            guesses = [
                client.get("/v1/jobs", headers={"Authorization": f"Bearer guess-{number}"}) for number in range(20)
            ]
            assert [answer.status_code for answer in guesses[:10]] == [401] * 10
            assert is_refused(guesses[-1])
            assert is_refused(client.post("/v1/session", json={"token": "guess"}))
            assert is_refused(client.post("/v1/session", json={"token": app.create_token("bob")}))
            assert client.get("/v1/jobs").status_code == 401  # brought nothing, so guessed nothing
            assert ann.get("/v1/jobs").status_code == 200


def test_a_guess_at_the_sign_in_counts_like_one_in_a_header(tmp_path):
    with limited(tmp_path, failed_sign_ins_per_minute=5) as app:
        app.create_token("ann")
        with app.client() as client:
            assert is_refused([client.post("/v1/session", json={"token": f"guess-{n}"}) for n in range(20)][-1])


def test_what_an_everyday_day_asks_for_is_not_refused(tmp_path):
    """A script of 200 jobs that looks at each, beside a dashboard and an agent, by the limits as they are."""
    with limited(tmp_path) as app, app.client(app.create_token("ann")) as ann:
        assert {ann.get("/v1/jobs").status_code for _ in range(300)} == {200}


def test_streams_are_limited_and_a_closed_one_makes_room(tmp_path):
    with limited(tmp_path, max_streams_per_owner=2) as app:
        ann, bob = (app.client(app.create_token(owner)) for owner in ("ann", "bob"))
        with ann, bob:
            job = _running_job(app, one_of_everything(app, ann, "ann")["job_id"])
            path, headers = f"/v1/jobs/{job}/events", {"Accept": "text/event-stream"}
            with ann.stream("GET", path, headers=headers), ann.stream("GET", path, headers=headers) as last:
                assert last.status_code == 200
                third = ann.get(path, headers=headers)
                assert third.status_code == 429
                assert third.json()["type"] == "urn:netadapt:problem:too-many-streams"
                assert int(third.headers["retry-after"]) >= 1
                assert ann.get(path).status_code == 200  # the listing is no stream
                assert bob.get(path, headers=headers).status_code == 404
            _wait_for_room(app)
            with ann.stream("GET", path, headers=headers) as again:
                assert again.status_code == 200


def _running_job(app: ServedApp, job_id: str) -> str:
    with unit_of_work(app.sessions) as session:
        session.execute(update(JobRow).where(JobRow.id == job_id).values(state="queued", finished_at=None))
    return job_id


def _wait_for_room(app: ServedApp) -> None:
    """Until the server has noticed that both connections are gone; the test's own limit ends a wait for ever."""
    while app.services.streams._open["ann"]:
        time.sleep(0.01)
