"""A real `netadapt serve`: what its log never says, and what uploads do not do to its memory."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from benchmarks.live_service import LiveProcess, live_process
from benchmarks.upload import MB, measured

ADDRESS_OF_A_HOOK = "https://hooks.example/x"


@dataclass(frozen=True, kw_only=True)
class Served:
    process: LiveProcess
    token: str
    log: Path

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.process.address, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("service")
    talkative = {"NETADAPT_LOG_LEVEL": "debug"}
    with live_process(folder, "--no-worker", environment=talkative) as process:
        data = ["--data-dir", str(folder / "data")]
        create = [sys.executable, "-m", "app.cli", "token", "create", "me", *data, "--json"]
        made = subprocess.run(create, capture_output=True, check=True, env={**os.environ, **talkative})
        yield Served(process=process, token=json.loads(made.stdout)["token"], log=folder / "service.log")


def ask_in_every_wrong_way(client: httpx.Client, secret: str) -> list[httpx.Response]:
    """Each with the secret in it, where somebody might put it."""
    text = json.dumps({"token": secret, secret: secret})
    as_json = {"Content-Type": "application/json"}
    return [
        client.get("/v1/jobs", params={"token": secret}),
        client.get(f"/v1/jobs/{secret}"),
        client.get("/v1/jobs", params={"cursor": secret}),
        client.get("/v1/jobs", headers={"Authorization": f"Basic {secret}"}),
        client.get("/v1/jobs", headers={"Authorization": f"Bearer {secret}x"}),
        client.get("/v1/jobs", headers={"Authorization": secret}),
        client.post("/v1/session", content=text, headers=as_json),
        client.post("/v1/session", content=text[:-3], headers=as_json),
        client.post("/v1/session", json={"token": [secret]}),
        client.post("/v1/session", json=secret),
        client.put("/v1/session", json={"token": secret}),
        client.post("/v1/jobs", headers={"Authorization": f"Bearer {secret}", "Idempotency-Key": "\x7f"}, json={}),
    ]


def webhook_secret(client: httpx.Client, token: str) -> str | None:
    """None while the service has no webhooks."""
    bearer = {"Authorization": f"Bearer {token}"}
    answer = client.post("/v1/webhooks", json={"url": ADDRESS_OF_A_HOOK}, headers=bearer)
    return answer.json().get("secret") if answer.status_code == 201 else None


def test_neither_the_log_nor_an_answer_tells_a_secret(served: Served) -> None:
    with served.client() as client:
        answers = ask_in_every_wrong_way(client, served.token)
        assert all(400 <= answer.status_code < 500 for answer in answers), [a.status_code for a in answers]
        assert not [answer.text for answer in answers if served.token in answer.text]
        signed_in = client.post("/v1/session", json={"token": served.token})
        assert signed_in.status_code == 200
        cookie = signed_in.cookies["netadapt_session"]
        assert client.get("/v1/jobs").status_code == 200
        assert client.get("/v1/jobs/job_none").status_code == 404
        assert client.get("/v1/jobs", params={"model": cookie}).status_code == 400
        secrets = {served.token, cookie, webhook_secret(client, served.token)} - {None}
        assert client.delete("/v1/session").status_code == 204
    log = served.log.read_text()
    assert "NetAdapt at http" in log
    for secret in secrets:
        assert not re.search(re.escape(str(secret)[:24]), log), "a secret stands in the log"


def test_an_upload_is_no_matter_of_memory(tmp_path: Path) -> None:
    """The short form of `make bench NAME=upload`, by the same bars."""
    with live_process(tmp_path, "--no-worker") as process:
        measured(process.address, process.pid, MB, 1)
        one, _ = measured(process.address, process.pid, 100 * MB, 1)
        many, _ = measured(process.address, process.pid, 10 * MB, 20)
    assert (one < 50, many < 300) == (True, True), (one, many)
