"""Deleting what somebody begins to use in the same moment: one of the two is told no, and nothing dangles."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, update

from adapt.graph.pruning import groups_to_json
from app.database import unit_of_work
from app.records import Caller
from app.tables import CheckpointRow, DatasetRow, EventRow, JobRow, ModelRow, TargetRow
from app.targets.repository import TargetRepository
from tests.feasible import GROUPS, NETWORK, table
from tests.live_api import LiveApi, live_api
from tests.rows import add_model

ROUNDS = 8
BUDGET = {"macs": "70%"}


@pytest.fixture(scope="module")
def api(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("service"), database_url=database_url) as running:
        yield running


def add_ready_model(api: LiveApi, model_id: str) -> str:
    with unit_of_work(api.services.sessions) as session:
        add_model(session, model_id)
        row = session.get_one(ModelRow, model_id)
        row.graph, row.groups, row.plan = NETWORK.graph.to_json(), [], groups_to_json(GROUPS)
        row.input_shape = list(NETWORK.graph.input_shape)
    return model_id


def add_target(api: LiveApi, name: str) -> str:
    with unit_of_work(api.services.sessions) as session:
        return TargetRepository(session).add_table_target(Caller(id="ann"), name, table()).id


def submit(api: LiveApi, model: str, target: str = "local") -> httpx.Response:
    request = {"model": model, "target": target, "budget": BUDGET, "settings": {"preset": "quick"}}
    return api.client.post("/v1/jobs", json=request)


def both_at_once(first: Callable[[], httpx.Response], second: Callable[[], httpx.Response]) -> tuple[int, int]:
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(act) for act in (first, second)]
        return answers[0].result().status_code, answers[1].result().status_code


def over(api: LiveApi, job_id: str) -> None:
    """As a worker leaves it at its end: with a checkpoint to go on from."""
    with unit_of_work(api.services.sessions) as session:
        session.execute(update(JobRow).where(JobRow.id == job_id).values(state="failed"))
        job = session.get_one(JobRow, job_id)
        session.add(
            CheckpointRow(
                job_id=job_id,
                checkpoint="0",
                number=1,
                kind="original",
                iteration=0,
                filters={},
                created_at=job.created_at,
            )
        )


@pytest.mark.parametrize("kind", ["models", "targets"])
def test_a_thing_that_a_job_takes_up_in_that_moment_is_in_use_or_not_found(api: LiveApi, kind: str) -> None:
    outcomes = set()
    for number in range(ROUNDS):
        model = add_ready_model(api, f"mdl_{kind}_{number}")
        target = add_target(api, f"a table {number}")
        gone = f"/v1/models/{model}" if kind == "models" else f"/v1/targets/{target}"
        outcomes.add(
            both_at_once(
                lambda model=model, target=target: submit(api, model, target),
                lambda gone=gone: api.client.delete(gone),
            )
        )
    assert outcomes <= {(202, 409), (404, 204)}
    with unit_of_work(api.services.sessions) as session:
        for column, row in ((JobRow.model_id, ModelRow), (JobRow.target_id, TargetRow)):
            assert session.scalars(select(JobRow.id).where(column.not_in(select(row.id)))).all() == []


def test_a_job_that_another_begins_to_go_on_from_is_in_use_or_not_found(api: LiveApi) -> None:
    outcomes = set()
    for number in range(ROUNDS):
        job = submit(api, add_ready_model(api, f"mdl_extend_{number}")).json()["id"]
        over(api, job)
        outcomes.add(
            both_at_once(
                lambda job=job: api.client.post(f"/v1/jobs/{job}/extend", json={"budget": {"macs": "60%"}}),
                lambda job=job: api.client.delete(f"/v1/jobs/{job}"),
            )
        )
    assert outcomes <= {(202, 409), (404, 204)}


def test_a_job_that_another_goes_on_from_can_be_deleted_once_that_one_is_over(api: LiveApi) -> None:
    first = submit(api, add_ready_model(api, "mdl_chain")).json()["id"]
    over(api, first)
    second = api.client.post(f"/v1/jobs/{first}/extend", json={"budget": {"macs": "60%"}}).json()
    assert second["continues"] == first
    refused = api.client.delete(f"/v1/jobs/{first}")
    assert (refused.status_code, second["id"] in refused.json()["detail"]) == (409, True)
    assert api.client.delete("/v1/models/mdl_chain").status_code == 409
    assert api.client.post(f"/v1/jobs/{second['id']}/cancel").status_code == 202
    assert api.client.delete(f"/v1/jobs/{first}").status_code == 204
    assert api.client.get(f"/v1/jobs/{second['id']}").json()["continues"] is None
    assert api.client.delete(f"/v1/jobs/{second['id']}").status_code == 204
    with unit_of_work(api.services.sessions) as session:
        left = select(EventRow.job_id).where(EventRow.job_id.in_((first, second["id"])))
        assert session.scalars(left).all() == []
    assert api.client.delete("/v1/models/mdl_chain").status_code == 204


def test_a_data_set_in_use_stays_and_goes_with_its_last_job(api: LiveApi, tmp_path: Path) -> None:
    with unit_of_work(api.services.sessions) as session:
        now = session.get_one(TargetRow, "local").created_at
        session.add(
            DatasetRow(
                id="dst_a", owner="ann", identity="a", name="a", state="ready", format="npz", bytes=1, created_at=now
            )
        )
    add_ready_model(api, "mdl_data")
    request = {"model": "mdl_data", "dataset": "dst_a", "budget": BUDGET, "settings": {"preset": "quick"}}
    job = api.client.post("/v1/jobs", json=request).json()["id"]
    assert api.client.delete("/v1/datasets/dst_a").status_code == 409
    assert api.client.post(f"/v1/jobs/{job}/cancel").status_code == 202
    assert api.client.delete("/v1/datasets/dst_a").status_code == 409  # its proposals were made of these images
    assert api.client.delete(f"/v1/jobs/{job}").status_code == 204
    assert api.client.delete("/v1/datasets/dst_a").status_code == 204
