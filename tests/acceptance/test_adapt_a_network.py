"""A user's way through the live service: a file and a budget in, proposals to look at, adapted files back."""

import hashlib

import httpx
import numpy as np
import onnxruntime
import pytest
import torch

from adapt.api import load
from adapt.data.digits import digits
from tests.trained import SIDE

SETTINGS = {"preset": "quick", "short_term_steps": 4, "long_term_epochs": 1, "round_channels_to": 8}


@pytest.fixture(scope="module", name="adapted")
def _adapted(address, net_file):
    from app.client import Client

    with Client(address) as client:
        job = client.submit(net_file, budget={"latency_ms": "88%"}, settings=SETTINGS)
        yield client.wait(job["id"])


def test_the_job_ends_within_its_latency_budget(adapted):
    assert (adapted["state"], adapted["error"]) == ("succeeded", None)
    original, result = adapted["original"]["latency_ms"], adapted["result"]["latency_ms"]
    assert result["low"] <= result["measured"] <= result["high"] <= adapted["limits"]["latency_ms"]
    assert adapted["limits"]["latency_ms"] == pytest.approx(0.88 * original["measured"])
    assert adapted["result"]["params"] < adapted["original"]["params"]


def test_every_iteration_kept_a_proposal_for_every_prunable_group(client, adapted):
    groups = client.models.get(adapted["model"])["groups"]
    prunable = sorted(group["id"] for group in groups if group["prunable"])
    assert prunable
    iterations = list(client.iterations(adapted["id"]))
    for iteration in iterations:
        proposals = list(client.proposals(adapted["id"], iteration=iteration["iteration"]))
        assert sorted(proposal["group"] for proposal in proposals) == prunable
        assert [p["id"] for p in proposals if p["picked"]] == iteration["picked"]
        assert all(p["reason"] for p in proposals if not p["picked"])
        assert all(p["steps"] == 4 for p in proposals if p["state"] == "evaluated")
    assert [iteration["iteration"] for iteration in iterations] == list(range(1, len(iterations) + 1))


def test_the_event_log_has_no_gaps_and_ends_with_the_last_state(client, adapted):
    events = [event for event in client.watch(adapted["id"]) if event["event"] != "progress"]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["event"] == "state"
    assert events[-1]["data"]["state"] == "succeeded"
    resumed = [event for event in client.watch(adapted["id"], after=5) if event["event"] != "progress"]
    assert resumed == events[5:]


def test_the_three_files_of_the_result_agree_and_load_without_our_classes(client, adapted, tmp_path):
    files = {
        kind: client.download(adapted["id"], tmp_path / f"final.{kind}", format=kind)
        for kind in ("onnx", "pt2", "safetensors")
    }
    images = np.random.default_rng(0).standard_normal((2, 1, SIDE, SIDE)).astype(np.float32)
    session = onnxruntime.InferenceSession(files["onnx"])
    scores = session.run(None, {session.get_inputs()[0].name: images})[0]
    program = torch.export.load(files["pt2"]).module()
    with torch.inference_mode():
        torch.testing.assert_close(program(torch.from_numpy(images)).numpy(), scores, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(
            load(files["safetensors"])(torch.from_numpy(images)).numpy(), scores, atol=1e-4, rtol=1e-4
        )


def test_the_reported_test_accuracy_is_that_of_the_downloaded_file(client, adapted, tmp_path):
    part = digits((SIDE, SIDE), 1).test
    images, labels = part.take(np.arange(len(part)))
    pixels = (images.astype(np.float32).transpose(0, 3, 1, 2) / 255 - 0.5) / 0.5
    for checkpoint, figures in (("final", adapted["result"]), (0, adapted["original"])):
        path = client.download(adapted["id"], tmp_path / f"{checkpoint}.onnx", checkpoint=checkpoint)
        session = onnxruntime.InferenceSession(path)
        scores = session.run(None, {session.get_inputs()[0].name: pixels})[0]
        assert figures["accuracy"] == pytest.approx((scores.argmax(1) == labels).mean(), abs=1.5 / len(labels))


def test_a_checkpoint_is_the_same_bytes_whenever_it_is_asked_for(address, client, adapted):
    for checkpoint in client.checkpoints(adapted["id"]):
        for file in checkpoint["files"]:
            answer = httpx.get(address + file["url"])
            assert hashlib.sha256(answer.content).hexdigest() == file["sha256"]
            assert answer.headers["etag"].strip('"') == file["sha256"]
            assert len(answer.content) == file["bytes"]


def test_an_adapted_file_can_be_adapted_again(client, adapted, tmp_path):
    path = client.download(adapted["id"], tmp_path / "again.safetensors", format="safetensors")
    job = client.submit(path, budget={"params": "90%"}, settings=SETTINGS)
    again = client.wait(job["id"])
    assert again["state"] == "succeeded"
    assert again["original"]["params"] == adapted["result"]["params"]


def test_a_budget_that_is_met_already_takes_no_iteration(client, adapted):
    job = client.submit(adapted["model"], budget={"macs": 10**12}, settings=SETTINGS)
    done = client.wait(job["id"])
    assert done["state"] == "succeeded"
    assert list(client.iterations(job["id"])) == []
    assert any("already" in event["data"].get("text", "") for event in client.watch(job["id"]))
    assert done["result"]["params"] == done["original"]["params"]


def test_a_job_on_a_table_target_is_repeated_exactly_by_one_process_or_two(client, adapted):
    table = client.targets.lookup_table("local")
    target = client.targets.add({"name": "frozen", "kind": "table", "table": table})
    results = []
    for executor in ("serial", "processes"):
        settings = {**SETTINGS, "executor": executor}
        job = client.submit(adapted["model"], budget={"latency_ms": "88%"}, target=target["id"], settings=settings)
        done = client.wait(job["id"])
        assert done["state"] == "succeeded", done["error"]
        assert done["result"]["latency_ms"]["measured"] is None
        assert done["result"]["latency_ms"]["predicted"] <= done["limits"]["latency_ms"]
        results.append(final_sha256(client, job["id"]))
    assert results[0] == results[1]


def final_sha256(client, job_id):
    (final,) = [one for one in client.checkpoints(job_id) if one["checkpoint"] == "final"]
    return next(file["sha256"] for file in final["files"] if file["format"] == "safetensors")
