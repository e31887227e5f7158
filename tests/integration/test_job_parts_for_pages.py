"""What the public API has for pages: fewer fields, the last event's number, and where the time goes."""

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import update

from adapt.graph.pruning import groups_to_json
from adapt.latency.predictor import fit
from adapt.reach import smallest_counts
from app.database import unit_of_work
from app.settings import Settings
from app.tables import CheckpointRow, JobRow, ModelRow, ProposalRow
from app.targets.lookup import LookupRepository
from benchmarks.dashboard_rows import add_job, add_news
from tests.feasible import GROUPS, NETWORK, SETTINGS, table
from tests.served_app import ServedApp, served_app


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[ServedApp]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("service"), database_url=database_url)
    with served_app(settings) as running:
        yield running


@pytest.fixture(scope="module")
def client(app: ServedApp) -> Iterator[httpx.Client]:
    with app.client() as client:
        yield client


def test_proposals_can_be_asked_for_with_a_few_fields(app: ServedApp, client: httpx.Client) -> None:
    job = add_job(app.sessions, owner="local", proposals=30)
    _fill_and_empty_two(app, job)
    path = f"/v1/jobs/{job}/proposals"
    whole, few = (client.get(path, params=asked).json()["data"] for asked in ({}, {"fields": "accuracy,id"}))
    assert [one.keys() for one in few] == [{"accuracy", "id"}] * 30
    every = client.get(path, params={"fields": ",".join(whole[0])}).json()["data"]
    assert every == whole
    assert few == [{name: one[name] for name in ("accuracy", "id")} for one in whole]
    first = client.get(path.replace("/proposals", "/iterations/1/proposals"), params={"fields": "accuracy,id"}).json()
    assert first["data"] == few[:20]
    refused = client.get(path, params={"fields": "id,weights"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["parameter"] == "fields"
    assert "no 'weights'" in refused.json()["errors"][0]["detail"]


def _fill_and_empty_two(app: ServedApp, job: str) -> None:
    """What is JSON in a proposal: all of it in one, nothing in another."""
    full = {
        "next_larger": {"filters": 60, "predicted": {"latency_ms": 0.5}},
        "further": {'a "group" é': 8},
        "judged_again": {"accuracy": 0.9, "images": 500},
    }
    empty = dict.fromkeys(("predicted", "kept", *full))
    with unit_of_work(app.sessions) as session:
        for number, values in ((1, full), (2, empty)):
            chosen = update(ProposalRow).where(ProposalRow.job_id == job, ProposalRow.number == number)
            session.execute(chosen.values(**values))


def test_an_answer_about_a_job_numbers_the_last_event_that_is_in_it(app: ServedApp, client: httpx.Client) -> None:
    job = add_job(app.sessions, owner="local", proposals=30)
    assert client.get(f"/v1/jobs/{job}").headers["Last-Event-ID"] == "30"
    add_news(app.sessions, job, group="g")
    assert client.get(f"/v1/jobs/{job}").headers["Last-Event-ID"] == "31"
    assert [one["id"] for one in client.get(f"/v1/jobs/{job}/events?after=30").json()["data"]] == [31]


def test_where_the_time_goes_is_told_for_the_original_and_the_newest_checkpoint(
    app: ServedApp, client: httpx.Client
) -> None:
    job = add_job(app.sessions, owner="local", proposals=20)
    assert client.get(f"/v1/jobs/{job}/latency").json()["original"] is None
    with unit_of_work(app.sessions) as session:
        row = session.get_one(JobRow, job)
        model = session.get_one(ModelRow, row.model_id)
        model.graph, model.plan = NETWORK.graph.to_json(), groups_to_json(GROUPS)
        LookupRepository(session).store_profile("local", model.id, table())
        cut = update(CheckpointRow).where(CheckpointRow.job_id == job)
        session.execute(cut.values(filters=smallest_counts(GROUPS, SETTINGS)))
    answer = client.get(f"/v1/jobs/{job}/latency").json()
    assert (answer["basis"], answer["checkpoint"], answer["reason"]) == ("predicted", "1", None)
    assert sum(answer["original"].values()) == pytest.approx(fit(table()).predict_ms(NETWORK.graph))
    assert sum(answer["current"].values()) < sum(answer["original"].values())
