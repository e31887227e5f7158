"""/v1/webhooks over real HTTP, through the client and through the command line; and the process that sends."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook
from typer.testing import CliRunner

from app.cli.main import app as command_line
from app.client import Client
from app.client.errors import Conflict, Invalid, NotFound
from app.database import unit_of_work
from app.jobs.records import NewJob
from app.jobs.repository import JobRepository
from app.records import Caller
from app.settings import Settings
from tests.receivers import Receiver, Receiving, receiver, status
from tests.rows import add_dataset_and_target, add_model
from tests.served_app import ServedApp, served_app

URL = "https://example.org/hook"


@pytest.fixture(name="app")
def _app(tmp_path: Path) -> Iterator[ServedApp]:
    settings = Settings(data_dir=tmp_path, webhook_allowed_networks="127.0.0.0/8", max_webhooks=3)
    with served_app(settings) as running:
        with unit_of_work(running.sessions) as session:
            add_dataset_and_target(session)
            add_model(session)
        yield running


@pytest.fixture(name="ann")
def _ann(app: ServedApp) -> Iterator[Client]:
    with Client(app.url, app.create_token("ann")) as client:
        yield client


@pytest.fixture(name="bob")
def _bob(app: ServedApp) -> Iterator[Client]:
    with Client(app.url, app.create_token("bob")) as client:
        yield client


def end_a_job(app: ServedApp) -> str:
    new = NewJob(
        name=None, model_id="mdl_a", dataset_id="dst_a", target_id="tgt_a", budget={"macs": "50%"}, settings={}
    )
    with unit_of_work(app.sessions) as session:
        job_id = JobRepository(session).add_job(Caller(id="ann"), new).id
        JobRepository(session).cancel_job(Caller(id="ann"), job_id)
    return job_id


class TestForTheirOwner:
    def test_the_secret_is_shown_once(self, ann):
        added = ann.webhooks.add(URL)
        assert added["secret"].startswith("whsec_")
        assert added["events"] == ["job.succeeded", "job.failed", "job.cancelled"]
        assert ann.webhooks.get(added["id"]) == {key: added[key] for key in added if key != "secret"}
        assert all("secret" not in webhook for webhook in ann.webhooks.list())

    def test_a_stranger_finds_none(self, ann, bob):
        added = ann.webhooks.add(URL)
        assert list(bob.webhooks.list()) == []
        for act in (bob.webhooks.get, bob.webhooks.delete, lambda hook: list(bob.webhooks.deliveries(hook))):
            with pytest.raises(NotFound):
                act(added["id"])
        ann.webhooks.delete(added["id"])
        assert list(ann.webhooks.list()) == []

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"url": "http://10.0.0.1/"}, "/url"),
            ({"url": "http://[::1]/"}, "/url"),
            ({"url": "ftp://example.org/"}, "/url"),
            ({"url": "https://ann:x@example.org/"}, "/url"),
            ({"url": "x" * 3000}, "/url"),
            ({"url": ""}, "/url"),
            ({"url": 5}, "/url"),
            ({}, "/url"),
            ({"url": URL, "events": []}, "/events"),
            ({"url": URL, "events": ["job.exploded"]}, "/events/0"),
            ({"url": URL, "secret": "whsec_mine"}, "/secret"),
        ],
    )
    def test_what_is_wrong_is_named_by_its_place(self, app, ann, body, pointer):
        with app.client(app.create_token("ann")) as http:
            answer = http.post("/v1/webhooks", json=body)
        assert answer.status_code == 422, answer.text
        assert [field["pointer"] for field in answer.json()["errors"]] == [pointer]
        assert list(ann.webhooks.list()) == []

    def test_what_the_operator_allows_is_taken_and_there_are_only_so_many(self, ann):
        for _ in range(3):
            ann.webhooks.add("http://localhost:8000/", events=["job.failed", "job.failed"])
        assert [webhook["events"] for webhook in ann.webhooks.list()] == [["job.failed"]] * 3
        with pytest.raises(Conflict, match="3 webhooks"):
            ann.webhooks.add(URL)
        with pytest.raises(Invalid):
            ann.webhooks.add("http://192.168.0.1/")

    def test_a_request_that_is_sent_again_makes_one(self, app):
        with app.client(app.create_token("ann")) as http:
            first, again = (
                http.post("/v1/webhooks", json={"url": URL}, headers={"Idempotency-Key": "k"}) for _ in range(2)
            )
        assert first.status_code == again.status_code == 201
        assert first.json() == again.json()
        assert first.headers["location"] == f"/v1/webhooks/{first.json()['id']}"

    def test_messages_are_listed_page_by_page(self, app, ann):
        hook = ann.webhooks.add(URL)["id"]
        jobs = [end_a_job(app) for _ in range(5)]
        with app.client(app.create_token("ann")) as http:
            seen, cursor = [], None
            while True:
                query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
                page = http.get(f"/v1/webhooks/{hook}/deliveries", params=query).json()
                seen += [told["job"] for told in page["data"]]
                if (cursor := page["next_cursor"]) is None:
                    break
            assert http.get("/v1/webhooks", params={"cursor": "x"}).status_code == 422
        assert sorted(seen) == sorted(jobs)
        assert [told["job"] for told in ann.webhooks.deliveries(hook)] == seen


class TestCommandLine:
    def run(self, app: ServedApp, *arguments: str):
        environment = {"NETADAPT_URL": app.url, "NETADAPT_TOKEN": app.create_token("ann")}
        return CliRunner().invoke(command_line, ["webhooks", *arguments], env=environment)

    def test_add_list_and_delete(self, app, ann):
        added = self.run(app, "add", URL, "--event", "job.failed")
        assert (added.exit_code, added.stdout.startswith("whsec_")) == (0, True)
        (webhook,) = ann.webhooks.list()
        assert webhook["events"] == ["job.failed"]
        listed = self.run(app, "list")
        assert webhook["id"] in listed.stdout
        assert "whsec_" not in listed.stdout
        assert "nothing was to be sent yet" in self.run(app, "deliveries", webhook["id"]).stdout
        assert self.run(app, "delete", webhook["id"]).exit_code == 0
        assert self.run(app, "list", "--json").stdout.strip() == "[]"


@contextmanager
def deliverer(app: ServedApp, **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The lane as a worker host starts it."""
    environment = {
        **os.environ,
        "NETADAPT_DATA_DIR": str(app.services.settings.data_dir),
        "NETADAPT_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "NETADAPT_WEBHOOK_RETRY_S": "0,0,0",
        **settings,
    }
    process = subprocess.Popen([sys.executable, "-m", "workers", "--lane", "webhooks"], env=environment)
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(30) in {0, -signal.SIGKILL}


def settled(client: Client, hook: str) -> list[dict]:
    """Its messages, once none of them waits any more."""
    waiting = threading.Event()
    while True:
        told = list(client.webhooks.deliveries(hook))
        if told and all(each["state"] != "queued" for each in told):
            return told
        waiting.wait(0.05)


def accepts(there: Receiver, secret: str) -> dict:
    message = there.next()
    return Webhook(secret).verify(message.body, message.headers)


class TestProcess:
    def test_a_receiver_is_told_and_accepts_the_signature(self, app, ann):
        with receiver() as there, deliverer(app):
            hook = ann.webhooks.add(there.url())
            job = end_a_job(app)
            told = accepts(there, hook["secret"])
            (delivery,) = settled(ann, hook["id"])
        assert (told["type"], told["data"]) == ("job.cancelled", ann.jobs.get(job))
        assert (delivery["state"], delivery["attempts"], delivery["response_status"]) == ("delivered", 1, 204)

    def test_it_tries_again_and_gives_up(self, app, ann):
        with receiver(status(500)) as there, deliverer(app):
            hook = ann.webhooks.add(there.url())
            end_a_job(app)
            (delivery,) = settled(ann, hook["id"])
            sent = [there.next() for _ in range(4)]
        assert (delivery["state"], delivery["attempts"], delivery["response_status"]) == ("failed", 4, 500)
        assert {message.headers["webhook-id"] for message in sent} == {delivery["id"]}

    def test_a_receiver_that_is_gone_is_left_alone(self, app, ann):
        with receiver(status(410)) as there, deliverer(app):
            hook = ann.webhooks.add(there.url())["id"]
            end_a_job(app)
            settled(ann, hook)
            end_a_job(app)
            assert ann.webhooks.get(hook)["disabled_at"]
            assert len(list(ann.webhooks.deliveries(hook))) == 1

    def test_one_that_is_killed_in_mid_delivery_loses_nothing(self, app, ann):
        killed = threading.Event()

        def answer(request: Receiving) -> None:
            if not killed.is_set():
                first.kill()
                killed.set()
                return
            status(200)(request)

        with receiver(answer) as there:
            hook = ann.webhooks.add(there.url())
            end_a_job(app)
            with deliverer(app, NETADAPT_WEBHOOK_TIMEOUT_S="0.5") as first:
                assert killed.wait(60)
                first.wait(30)
            with deliverer(app, NETADAPT_WEBHOOK_TIMEOUT_S="0.5"):
                (delivery,) = settled(ann, hook["id"])
            ids = {there.next().headers["webhook-id"] for _ in range(2)}
        assert (delivery["state"], ids) == ("delivered", {delivery["id"]})
        assert delivery["attempts"] >= 2  # more, where a busy machine takes longer than the time-out

    def test_a_slow_receiver_holds_up_nobody_else(self, app, ann, bob):
        release = threading.Event()

        def slow(request: Receiving) -> None:
            release.wait(60)
            status(204)(request)

        with receiver(slow) as dawdling, receiver() as quick, deliverer(app):
            ann.webhooks.add(dawdling.url())
            for _ in range(12):
                end_a_job(app)
            dawdling.next(), dawdling.next()
            hook = bob.webhooks.add(quick.url())["id"]
            with unit_of_work(app.sessions) as session:
                new = NewJob(
                    name=None, model_id="mdl_a", dataset_id="dst_a", target_id="tgt_a", budget={"macs": 1}, settings={}
                )
                job_id = JobRepository(session).add_job(Caller(id="bob"), new).id
                JobRepository(session).cancel_job(Caller(id="bob"), job_id)
            (delivery,) = settled(bob, hook)
            assert dawdling.messages.empty()
            release.set()
        assert delivery["state"] == "delivered"

    def test_a_private_address_is_not_sent_to_when_the_operator_allows_none(self, app, ann):
        nothing = {"NETADAPT_WEBHOOK_ALLOWED_NETWORKS": "none", "NETADAPT_WEBHOOK_RETRY_S": "none"}
        with receiver() as there, deliverer(app, **nothing):
            hook = ann.webhooks.add(there.url())["id"]
            end_a_job(app)
            (delivery,) = settled(ann, hook)
            assert there.messages.empty()
        assert (delivery["state"], delivery["response_status"]) == ("failed", None)
        assert "no address that webhooks may be sent to" in delivery["error"]
