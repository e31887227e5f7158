"""How many jobs an owner may have, and what an extension is checked for, over real HTTP."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import update

from app.database import database_now, unit_of_work
from app.settings import Settings
from app.tables import CheckpointRow, JobRow, TargetRow
from tests.served_app import ServedApp, served_app
from tests.trained import trained_pt2

REQUEST = {"budget": {"macs": "60%"}, "settings": {"preset": "quick"}}


@pytest.fixture(name="app")
def _app(tmp_path: Path) -> Iterator[ServedApp]:
    with served_app(Settings(data_dir=tmp_path, max_open_jobs=2)) as running:
        yield running


@pytest.fixture(name="ann")
def _ann(app: ServedApp) -> Iterator[httpx.Client]:
    with app.client(app.create_token("ann")) as client:
        yield client


def submit(client: httpx.Client, **changed: object) -> httpx.Response:
    model = client.post("/v1/models", files={"file": ("net.pt2", trained_pt2())}).json()["id"]
    return client.post("/v1/jobs", json={"model": model, **REQUEST, **changed})


def test_the_job_beyond_the_limit_is_refused_with_the_limit_and_others_are_not_touched(
    app: ServedApp, ann: httpx.Client
) -> None:
    jobs = [submit(ann).json()["id"] for _ in range(2)]
    refused = submit(ann)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:netadapt:problem:too-many-jobs")
    assert "2 jobs" in refused.json()["detail"]
    assert len(ann.get("/v1/jobs").json()["data"]) == 2
    with app.client(app.create_token("bob")) as bob:
        assert submit(bob).status_code == 202
    ann.post(f"/v1/jobs/{jobs[0]}/cancel")
    assert submit(ann).status_code == 202


def test_a_network_that_came_with_a_refused_job_is_not_kept(ann: httpx.Client) -> None:
    for _ in range(2):
        submit(ann)
    models = ann.get("/v1/models").json()["data"]
    answer = ann.post("/v1/jobs", json={"model": "mobilenet_v1_0.25", **REQUEST})
    assert answer.status_code == 409
    assert ann.get("/v1/models").json()["data"] == models


def test_a_job_on_a_target_that_was_refused_meanwhile_is_not_extended(app: ServedApp, ann: httpx.Client) -> None:
    target = ann.post("/v1/targets", json={"kind": "local", "name": "mine"}).json()["id"]
    job = submit(ann, target=target).json()["id"]
    with unit_of_work(app.sessions) as session:
        session.execute(update(JobRow).where(JobRow.id == job).values(state="cancelled"))
        refused = {"state": "refused", "error": {"detail": "its runtime is gone"}}
        session.execute(update(TargetRow).where(TargetRow.id == target).values(refused))
    nothing_yet = ann.post(f"/v1/jobs/{job}/extend", json={"budget": {"macs": "50%"}})
    assert nothing_yet.status_code == 409
    begun(app, job)
    answer = ann.post(f"/v1/jobs/{job}/extend", json={"budget": {"macs": "50%"}})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/target")
    assert "its runtime is gone" in answer.json()["detail"]


def begun(app: ServedApp, job_id: str) -> None:
    """With the checkpoint of the original, which is the least to go on from."""
    with unit_of_work(app.sessions) as session:
        session.add(
            CheckpointRow(
                job_id=job_id,
                checkpoint="0",
                number=1,
                kind="original",
                iteration=0,
                filters={},
                created_at=database_now(session),
            )
        )
