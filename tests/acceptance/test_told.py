"""A user is told of the end of a job, and an operator finds all of it in log and metrics."""

import json
import re
import time
import urllib.request

from standardwebhooks.webhooks import Webhook

from tests.receivers import receiver


def log_of(folder):
    """The service's lines; what the command line itself said at its start is not of the log."""
    for line in (folder / "service.log").read_text().splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def until(true):
    """The test's own time limit ends what never comes true."""
    while not true():
        time.sleep(0.1)


def test_a_receiver_is_told_of_the_end_of_a_job_and_the_log_names_who_did_what(
    client, address, net_file, service_folder
):
    model = client.models.add(net_file)["id"]
    with receiver() as there:
        hook = client.webhooks.add(there.url())
        job = client.submit(model, budget={"macs": "80%"}, settings={"preset": "quick", "short_term_steps": 1})["id"]
        client.cancel(job)
        ended = client.wait(job)
        message = there.next()
        told = Webhook(hook["secret"]).verify(message.body, message.headers)
        until(lambda: [each["state"] for each in client.webhooks.deliveries(hook["id"])] == ["delivered"])
        client.webhooks.delete(hook["id"])
    until(lambda: client.models.get(model)["state"] == "ready")  # by the lane of short work
    assert (told["type"], told["data"]["id"]) == (f"job.{ended['state']}", job)
    assert told["data"] == ended

    lines = list(log_of(service_folder))
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, lines))
    lanes = {line["worker_id"].split(":")[1] for line in lines if "worker_id" in line}
    assert {"short", "webhooks"} <= lanes
    assert any(line.get("task_id") for line in lines)
    assert any(line.get("job_id") == job and line.get("delivery_id") for line in lines)
    assert any(line.get("request_id") and line["message"] == f"POST /v1/jobs/{job}/cancel 202" for line in lines)

    def metrics():
        with urllib.request.urlopen(f"{address}/metrics") as answer:
            return answer.read().decode()

    for lane in ("short", "long", "webhooks"):
        until(lambda lane=lane: f'netadapt_workers{{lane="{lane}"}} 1.0\n' in metrics())
    assert re.search(r'^netadapt_webhook_attempts_total{outcome="accepted"} [1-9]', metrics(), flags=re.MULTILINE)
