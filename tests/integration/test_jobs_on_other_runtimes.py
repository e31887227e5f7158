"""Jobs on targets of another runtime or precision, done by a worker: the file measured is the file offered."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from adapt.data.digits import digits
from adapt.formats.safetensors_file import read_about
from adapt.graph.network import Graph
from adapt.latency.conditions import Conditions
from adapt.latency.table import Entry, LookupTable
from adapt.latency.units import find_units
from app.database import unit_of_work
from app.jobs.queue import JobQueue
from app.models.repository import ModelRepository
from app.records import Caller, TaskLane
from app.tables import ModelRow
from app.targets.lookup import LookupRepository
from app.tasks.queue import TaskQueue
from tests.latency import CONDITIONS
from tests.live_api import LiveApi, live_api
from tests.trained import SIDE, trained_pt2
from workers.adaptation import run_job
from workers.service import Service, open_service
from workers.tasks import run_task

pytestmark = pytest.mark.databases("sqlite")  # its point is no SQL

SETTINGS = {
    "preset": "quick",
    "short_term_steps": 2,
    "long_term_epochs": 1,
    "executor": "serial",
    "schedule": {"initial": 0.2, "decay": 1.0},
}


@pytest.fixture(scope="module")
def api(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("data"), database_url=database_url) as running:
        yield running


@pytest.fixture(scope="module")
def worker(api: LiveApi) -> Iterator[Service]:
    with open_service(api.services.settings, "long", 0) as service:
        yield service


@pytest.fixture(scope="module")
def model(api: LiveApi) -> str:
    answer = api.client.post("/v1/models", files={"file": ("net.pt2", trained_pt2())})
    return str(answer.json()["id"])


def do_tasks(api: LiveApi, worker: Service) -> None:
    lanes: list[TaskLane] = ["short", "measuring"]
    while lanes:
        with unit_of_work(api.services.sessions) as session:
            claimed = TaskQueue(session).claim_next_task("worker", lane=lanes[0], lease_s=120)
        if claimed is None:
            lanes.pop(0)
        else:
            run_task(claimed, worker, shutdown=lambda: False)


def do_job(api: LiveApi, worker: Service) -> None:
    with unit_of_work(api.services.sessions) as session:
        claimed = JobQueue(session).claim_next_job("worker", lease_s=120)
    assert claimed is not None
    run_job(claimed, worker, lambda: False)


def submit(api: LiveApi, model: str, **target: Any) -> dict[str, Any]:
    added = api.client.post("/v1/targets", json={"kind": "local", **target}).json()
    request = {"model": model, "target": added["id"], "budget": {"params": "85%"}, "settings": SETTINGS}
    answer = api.client.post("/v1/jobs", json=request)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def finished(api: LiveApi, job: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    done = api.client.get(f"/v1/jobs/{job['id']}").json()
    assert done["state"] == "succeeded", done["error"]
    return done, api.client.get(f"/v1/jobs/{job['id']}/checkpoints").json()["data"]


def file_of(api: LiveApi, checkpoint: dict[str, Any], kind: str) -> tuple[dict[str, Any], bytes]:
    (file,) = [file for file in checkpoint["files"] if file["format"] == kind]
    return file, api.client.get(file["url"]).content


def accuracy(file: bytes) -> float:
    """As somebody else would take it: onnxruntime alone, on the test images."""
    part = digits((SIDE, SIDE), 1).test
    images, labels = part.take(np.arange(len(part)))
    pixels = ((images.astype(np.float32) / 255 - 0.5) / 0.5).transpose(0, 3, 1, 2)
    session = onnxruntime.InferenceSession(file)
    (scores,) = session.run(None, {session.get_inputs()[0].name: pixels})
    return float((scores.argmax(1) == labels).mean())


def test_every_checkpoint_of_an_int8_target_has_a_quantised_file_with_its_own_accuracy(
    api: LiveApi, worker: Service, model: str
) -> None:
    job = submit(api, model, precision="int8", name="quantised")
    with unit_of_work(api.services.sessions) as session:
        assert JobQueue(session).claim_next_job("worker", lease_s=60) is None  # nobody has tried the target yet
    do_tasks(api, worker)
    do_job(api, worker)
    done, checkpoints = finished(api, job)
    assert [checkpoint["kind"] for checkpoint in checkpoints][:: len(checkpoints) - 1] == ["original", "final"]
    for checkpoint in checkpoints:
        file, content = file_of(api, checkpoint, "onnx-int8")
        properties = {p.key: p.value for p in onnx.load_from_string(content).metadata_props}
        assert properties["netadapt.precision"] == "int8"
        assert file["accuracy"] == pytest.approx(accuracy(content), abs=0.01)
        _, plain = file_of(api, checkpoint, "onnx")
        assert len(content) < len(plain)
        assert all(other["accuracy"] is None for other in checkpoint["files"] if other["format"] != "onnx-int8")
    assert done["result"]["latency_ms"]["measured"] > 0
    assert done["result"]["accuracy"] == checkpoints[-1]["accuracy"]


def test_a_check_on_an_int8_target_fills_its_table_and_measures_what_can_be_reached(
    api: LiveApi, worker: Service, model: str
) -> None:
    added = api.client.post("/v1/targets", json={"kind": "local", "precision": "int8"}).json()
    request = {"model": model, "target": added["id"], "budget": {"latency_ms": "99%"}, "settings": SETTINGS}
    do_tasks(api, worker)
    assert api.client.post("/v1/jobs?validate_only=true", json=request).json()["feasible"] is None
    do_tasks(api, worker)
    table = api.client.get(f"/v1/targets/{added['id']}/lookup-table").json()
    assert table["conditions"]["precision"] == "int8"
    assert all(entry["measured_at"] for entry in table["entries"])
    answer = api.client.post("/v1/jobs?validate_only=true", json=request).json()
    assert answer["basis"] == "measured", answer["reason"]
    assert answer["latency"]["smallest"]["measured"] is not None


def table_for(graph: Graph, conditions: Conditions) -> LookupTable:
    units = {(unit.operator, unit.shape) for unit in find_units(graph)}
    entries = [Entry(operator=operator, shape=shape, ms=1.0, count=1, spread=0.0) for operator, shape in sorted(units)]
    return LookupTable(entries=tuple(entries), calibration=1.0, conditions=conditions)


def test_a_target_that_measures_under_other_conditions_by_now_is_profiled_again(
    api: LiveApi, worker: Service, model: str
) -> None:
    added = api.client.post("/v1/targets", json={"kind": "local", "name": "upgraded"}).json()
    path = f"/v1/targets/{added['id']}"
    request = {"model": model, "target": added["id"], "budget": {"latency_ms": "99%"}, "settings": SETTINGS}
    do_tasks(api, worker)
    today = api.client.get(path).json()["fingerprint"]
    before = replace(CONDITIONS, runtime_version="an older one")
    with unit_of_work(api.services.sessions) as session:
        owner = Caller(id=session.get_one(ModelRow, model).owner)
        graph = ModelRepository(session).get_structure(owner, model).graph
        table = table_for(graph, before)
        LookupRepository(session).store_profile(added["id"], model, table)
    assert api.client.get(path).json()["fingerprint"]["id"] == before.fingerprint()
    assert api.client.post("/v1/jobs?validate_only=true", json=request).json()["feasible"] is None
    do_tasks(api, worker)
    assert api.client.get(path).json()["fingerprint"] == today
    assert api.client.post("/v1/jobs?validate_only=true", json=request).json()["basis"] == "measured"


def test_a_target_of_torch_measures_the_checkpoint_itself(
    api: LiveApi, worker: Service, model: str, tmp_path: Path
) -> None:
    job = submit(api, model, runtime="torch")
    do_tasks(api, worker)
    do_job(api, worker)
    done, checkpoints = finished(api, job)
    assert done["result"]["latency_ms"]["measured"] > 0
    _, content = file_of(api, checkpoints[-1], "safetensors")
    path = tmp_path / "final.safetensors"
    path.write_bytes(content)
    assert read_about(path)["measured"]["netadapt.runtime"].startswith("torch 2.")
    missing = api.client.get(f"/v1/jobs/{job['id']}/checkpoints/final/file?format=onnx-int8")
    assert missing.status_code == 404
    assert "target of precision int8" in missing.json()["detail"]


def test_a_job_on_a_target_that_cannot_measure_fails_or_is_refused(api: LiveApi, worker: Service, model: str) -> None:
    job = submit(api, model, provider="NoSuchExecutionProvider")
    do_tasks(api, worker)
    with unit_of_work(api.services.sessions) as session:
        assert JobQueue(session).claim_next_job("worker", lease_s=60) is None
    failed = api.client.get(f"/v1/jobs/{job['id']}").json()
    assert failed["state"] == "failed"
    assert "NoSuchExecutionProvider is not installed" in failed["error"]["detail"]
    request = {"model": model, "target": failed["target"], "budget": {"params": "85%"}}
    refused = api.client.post("/v1/jobs", json=request)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/target"
    assert "NoSuchExecutionProvider is not installed" in refused.text
