"""Jobs on a zoo name: the architecture is built for the data set, trained on it, and only then adapted."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from adapt.errors import Stopped, TrainingDiverged
from adapt.events import EpochDone
from adapt.formats.safetensors_file import read_graph
from adapt.zoo.architecture import Architecture
from adapt.zoo.builder import GraphBuilder
from adapt.zoo.catalogue import get_architecture
from app.blobs import sweep
from app.database import reading, unit_of_work
from app.jobs.queue import JobQueue
from app.jobs.recorder import TRAINED
from app.jobs.resume import load_progress
from app.models.from_zoo import image_shape_for
from app.tables import EpochStateRow, JobRow, ModelRow
from app.tasks.queue import TaskQueue
from tests.live_api import LiveApi
from tests.trained import trained_pt2
from workers import pretraining
from workers.adaptation import run_job
from workers.service import Service
from workers.tasks import run_task

pytestmark = pytest.mark.databases("sqlite")  # its point is no SQL

NAME = "mobilenet_v1_0.25"
SETTINGS = {
    "preset": "quick",
    "training_epochs": 2,
    "short_term_steps": 2,
    "long_term_epochs": 1,
    "executor": "serial",
    "allow_low_accuracy": True,
    "include": ["features.12.*", "features.13.*"],
    "schedule": {"initial": 0.3, "decay": 1.0},
}


def submit(api: LiveApi, **changed: object) -> str:
    body = {"model": NAME, "budget": {"params": "85%"}, "settings": SETTINGS, **changed}
    answer = api.client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def check(service: Service) -> None:
    with unit_of_work(service.sessions) as session:
        task = TaskQueue(session).claim_next_task("test", lease_s=30)
    assert task is not None
    run_task(task, service, shutdown=lambda: False)


def work(service: Service, shutdown: Callable[[], bool] = lambda: False) -> None:
    with unit_of_work(service.sessions) as session:
        claimed = JobQueue(session).claim_next_job("test", lease_s=30)
    assert claimed is not None
    run_job(claimed, service, shutdown)


def trained(service: Service, job_id: str) -> str:
    with reading(service.sessions) as session:
        sha256: str = load_progress(session, job_id).values[TRAINED]["sha256"]
    return sha256


def test_a_zoo_name_makes_a_model_for_the_data_set_once(api: LiveApi) -> None:
    first, second = (api.client.get(f"/v1/jobs/{submit(api)}").json() for _ in range(2))
    assert first["model"] == second["model"]
    model = api.client.get(f"/v1/models/{first['model']}").json()
    assert (model["format"], model["architecture"], model["state"]) == ("zoo", NAME, "checking")
    assert (model["input_shape"], model["classes"]) == ([1, 32, 32], [str(digit) for digit in range(10)])
    assert first["settings"]["training_epochs"] == 2
    assert api.stranger.get(f"/v1/models/{first['model']}").status_code == 404
    sized = api.client.get(f"/v1/jobs/{submit(api, model=f'{NAME}_48')}").json()
    assert api.client.get(f"/v1/models/{sized['model']}").json()["input_shape"] == [1, 48, 48]


def test_what_cannot_be_built_for_these_images_leaves_nothing(api: LiveApi) -> None:
    before = len(api.stored_files())
    answer = api.client.post("/v1/jobs", json={"model": "alexnet", "budget": {"params": "85%"}})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/model"
    assert "alexnet_224" in answer.json()["detail"]
    unreachable = api.client.post("/v1/jobs", json={"model": NAME, "budget": {"params": "85%"}, "target": "tgt_none"})
    assert unreachable.status_code == 404
    missing = api.client.post("/v1/jobs", json={"model": NAME, "budget": {"params": "85%"}, "dataset": "dst_none"})
    assert missing.status_code == 404
    unknown = api.client.post("/v1/jobs", json={"model": "vgg_99", "budget": {"params": "85%"}})
    assert (unknown.status_code, "did you mean vgg19 or" in unknown.json()["detail"]) == (404, True)
    with api.services.sessions() as session:
        assert session.query(ModelRow).count() == session.query(JobRow).count() == 0
    sweep(api.services.sessions, api.services.storage, older_than_s=-1)
    assert len(api.stored_files()) == before


def test_a_hopeless_latency_is_found_before_hours_of_training(api: LiveApi, service: Service) -> None:
    job_id = submit(api, budget={"latency_ms": 1e-6})
    check(service)
    work(service)
    job = api.client.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["error"]["type"]) == ("failed", "urn:netadapt:problem:budget-unreachable")
    assert "measured, its interval reaches up to" in job["error"]["detail"]
    with reading(service.sessions) as session:
        record = load_progress(session, job_id)
    assert (record.epoch_state, TRAINED in record.values) == (None, False)


def test_an_architecture_is_trained_then_adapted_and_a_kill_in_between_changes_no_byte(
    api: LiveApi, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an auxiliary classifier, of which nothing is left."""
    monkeypatch.setattr(pretraining, "get_architecture", with_auxiliary_classifier)
    whole = submit(api)
    check(service)
    work(service)
    job = api.client.get(f"/v1/jobs/{whole}").json()
    assert (job["state"], job["error"]) == ("succeeded", None)
    assert job["result"]["params"] <= 0.85 * job["original"]["params"]
    phases = [event["data"]["phase"] for event in events(api, whole) if event["event"] == "phase"]
    assert phases[0] == "training"
    messages = [event["data"].get("text", "") for event in events(api, whole)]
    assert any("for 2 epochs on digits from seed 0, with 1 auxiliary classifier(s)" in text for text in messages)
    with service.storage.local_path(trained(service, whole)) as path:
        assert read_graph(path) == get_architecture(NAME).graph(10, (1, 32, 32))
    cut = submit(api)
    with monkeypatch.context() as patched:
        interrupt_after_first_epoch(patched)
        work(service)
    with reading(service.sessions) as session:
        assert session.get_one(EpochStateRow, cut).epoch == 1
    release(service, cut)
    work(service)
    assert trained(service, cut) == trained(service, whole)
    assert final_sha256(api, cut) == final_sha256(api, whole)
    for job_id in (whole, cut):  # each epoch is told once, with its figures, whoever trained it
        phases = [event["data"]["phase"] for event in events(api, job_id) if event["event"] == "phase"]
        assert phases[0] == "training"
        assert phases.count("training") == 1
        told = [event["data"] for event in events(api, job_id) if "epoch" in event["data"]]
        assert [(each["epoch"], each["epochs"]) for each in told] == [(1, 2), (2, 2), (1, 1)]
        assert told[0]["text"].startswith("epoch 1 of 2: hold-out accuracy 0.")
        assert all(0 <= each["accuracy"] <= 1 and each["loss"] > 0 for each in told)


def test_a_training_can_be_cancelled_between_two_of_its_steps(api: LiveApi, service: Service) -> None:
    job_id = submit(api, settings={**SETTINGS, "training_epochs": 1000})
    check(service)

    class Cancelling(pretraining.Recording):
        def write(self, event: object) -> None:  # type: ignore[override]
            super().write(event)
            if isinstance(event, EpochDone) and event.epoch == 1:
                assert api.client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pretraining, "Recording", Cancelling)
        often = service.settings.model_copy(update={"lease_s": 3.0})  # a renewal hears of the request
        work(replace(service, settings=often))
    job = api.client.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["phase"]) == ("cancelled", None)
    assert 0 < job["progress"]["fraction"] < 0.4
    assert job["progress"]["eta_seconds"] is not None


def test_the_epochs_and_the_seed_of_the_training_are_the_jobs_own(api: LiveApi, service: Service) -> None:
    changed = [{**SETTINGS, "training_epochs": 1, "seed": seed} for seed in (0, 1)]
    job_ids = [submit(api, settings=each, budget={"params": "100%"}) for each in changed]
    check(service)
    for job_id in job_ids:
        work(service)
        assert any("trained for 1 epoch on digits" in event["data"].get("text", "") for event in events(api, job_id))
    assert len({trained(service, job_id) for job_id in job_ids}) == 2


def test_a_setting_of_the_training_is_refused_for_a_model_with_weights(api: LiveApi) -> None:
    model = api.client.post("/v1/models", files={"file": ("net.pt2", trained_pt2())}).json()["id"]
    body = {"model": model, "budget": {"macs": "85%"}, "settings": {"training_epochs": 3}}
    for path in ("/v1/jobs", "/v1/jobs?validate_only=true"):
        answer = api.client.post(path, json=body)
        assert answer.status_code == 422, answer.text
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/settings/training_epochs"]
    body["settings"] = {"training_epochs": None, "preset": "quick"}
    assert api.client.post("/v1/jobs", json=body).status_code == 202


def test_a_job_that_continues_begins_from_the_network_that_was_trained(api: LiveApi, service: Service) -> None:
    first = submit(api)
    check(service)
    work(service)
    second = api.client.post(f"/v1/jobs/{first}/extend", json={"budget": {"params": "75%"}}).json()["id"]
    work(service)
    assert api.client.get(f"/v1/jobs/{second}").json()["state"] == "succeeded"
    assert trained(service, second) == trained(service, first)


def test_training_that_loses_its_numbers_fails_the_job_and_says_what_to_do(api: LiveApi, service: Service) -> None:
    job_id = submit(api, settings={**SETTINGS, "training_learning_rate": 10.0, "momentum": 0.99, "weight_decay": 1.0})
    check(service)

    def diverging(*_: object, **__: object) -> object:
        raise TrainingDiverged(10.0)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pretraining, "train_from_scratch", diverging)
        work(service)
    job = api.client.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["error"]["type"]) == ("failed", "urn:netadapt:problem:training-diverged")
    assert "training_learning_rate" in job["error"]["detail"]


@pytest.mark.parametrize(
    ("name", "images", "built"),
    [
        ("mobilenet_v2", (8, 8, 1), (1, 32, 32)),
        ("mobilenet_v2", (28, 56, 1), (1, 32, 64)),
        ("mobilenet_v2", (96, 64, 3), (3, 96, 64)),
        ("mobilenet_v2", (600, 480, 3), (3, 224, 224)),
        ("mobilenet_v2_96", (600, 480, 3), (3, 96, 96)),
        ("mobilenet_v2_224", (8, 8, 1), (1, 224, 224)),
    ],
)
def test_an_architecture_is_built_for_the_images_own_size_within_reason(
    name: str, images: tuple[int, int, int], built: tuple[int, int, int]
) -> None:
    assert image_shape_for(get_architecture(name), name, images) == built


def with_auxiliary_classifier(name: str) -> Architecture:
    def auxiliary(builder: GraphBuilder, classes: int) -> dict[str, float]:
        return {builder.linear(builder.global_pool("features_6_4_relu", "aux.pool"), "aux.fc", classes): 0.3}

    architecture = get_architecture(name)
    return replace(architecture, family=replace(architecture.family, auxiliary=auxiliary))


class Interrupted(Stopped):
    """Stands for a worker that is gone: nothing more is written."""


def interrupt_after_first_epoch(patched: pytest.MonkeyPatch) -> None:
    class Interrupting(pretraining.Recording):
        def write(self, event: object) -> None:  # type: ignore[override]
            super().write(event)
            if isinstance(event, EpochDone):
                raise Interrupted("gone")

    patched.setattr(pretraining, "Recording", Interrupting)


def release(service: Service, job_id: str) -> None:
    """As if the dead worker's lease had run out."""
    with unit_of_work(service.sessions) as session:
        row = session.get_one(JobRow, job_id)
        row.state, row.lease_owner, row.lease_expires_at = "queued", None, None


def events(api: LiveApi, job_id: str) -> list[dict]:
    listed: list[dict] = api.client.get(f"/v1/jobs/{job_id}/events?limit=500").json()["data"]
    return listed


def final_sha256(api: LiveApi, job_id: str) -> str:
    checkpoints = api.client.get(f"/v1/jobs/{job_id}/checkpoints").json()["data"]
    final = next(checkpoint for checkpoint in checkpoints if checkpoint["checkpoint"] == "final")
    return next(file["sha256"] for file in final["files"] if file["format"] == "safetensors")
