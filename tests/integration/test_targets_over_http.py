"""Targets over real HTTP: `local` is always there, a table posted back is accepted, conditions never mix."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from adapt.latency.table import Entry, LookupTable, table_from_document
from app.database import reading, unit_of_work
from app.jobs.records import NewJob
from app.jobs.repository import JobRepository
from app.records import Caller
from app.tables import JobRow, ModelRow
from app.targets.lookup import LookupRepository
from tests.latency import CONDITIONS
from tests.live_api import LiveApi, live_api
from tests.rows import add_dataset_and_target, add_model

TABLE = LookupTable(
    entries=(
        Entry(operator="conv", shape="8x8x8>16x8x8", ms=0.5, count=3, spread=0.1),
        Entry(operator="linear", shape="16>4", ms=0.25, count=1, spread=0.0),
    ),
    calibration=1.5,
    conditions=CONDITIONS,
)


@pytest.fixture
def api(fresh_database_url: str, tmp_path: Any) -> Iterator[LiveApi]:
    with live_api(tmp_path, database_url=fresh_database_url) as running:
        yield running


def store(api: LiveApi, model_id: str, table: LookupTable) -> None:
    """As a profile of the model would; the model is ann's unless it is there already."""
    with unit_of_work(api.services.sessions) as session:
        if session.get(ModelRow, model_id) is None:
            add_model(session, model_id)
        LookupRepository(session).store_profile("local", model_id, table)


def undated(document: dict[str, Any]) -> dict[str, Any]:
    """Without the dates of its entries, which the service adds."""
    entries = [{key: entry[key] for key in entry if key != "measured_at"} for entry in document["entries"]]
    return {**document, "entries": entries}


def test_local_is_always_there(api: LiveApi) -> None:
    local = api.client.get("/v1/targets/local").json()
    assert (local["kind"], local["runtime"], local["threads"], local["batch"], local["precision"]) == (
        "local",
        "onnxruntime",
        1,
        1,
        "float32",
    )
    assert (local["fingerprint"], local["state"]) == (None, "ready")
    assert [target["id"] for target in api.client.get("/v1/targets").json()["data"]] == ["local"]
    nothing = api.client.get("/v1/targets/local/lookup-table")
    assert (nothing.status_code, nothing.json()["type"]) == (404, "urn:netadapt:problem:no-measurements")


def test_a_table_that_was_got_can_be_posted_back(api: LiveApi) -> None:
    store(api, "mdl_a", TABLE)
    document = api.client.get("/v1/targets/local/lookup-table").json()
    assert undated(document) == TABLE.to_document()
    assert all(datetime.fromisoformat(entry["measured_at"]) <= datetime.now(UTC) for entry in document["entries"])
    answer = api.client.post("/v1/targets", json={"kind": "table", "name": "fixed", "table": document})
    target = answer.json()
    assert (answer.status_code, target["kind"], target["name"], target["runtime"]) == (
        201,
        "table",
        "fixed",
        "stand-in",
    )
    assert target["fingerprint"]["id"] == CONDITIONS.fingerprint()
    assert api.client.get(f"{answer.headers['location']}/lookup-table").json() == document
    assert api.client.get("/v1/targets/local").json()["fingerprint"] == target["fingerprint"]
    assert api.stranger.get(answer.headers["location"]).status_code == 404
    assert api.stranger.get(f"{answer.headers['location']}/lookup-table").status_code == 404


def test_a_table_can_be_taken_from_a_target_and_then_stays(api: LiveApi) -> None:
    store(api, "mdl_a", TABLE)
    target = api.client.post("/v1/targets", json={"kind": "table", "from": "local"}).json()
    store(api, "mdl_a", replace(TABLE, calibration=9.0))
    kept = api.client.get(f"/v1/targets/{target['id']}/lookup-table").json()
    assert undated(kept) == TABLE.to_document()
    assert all(entry["measured_at"] for entry in kept["entries"])
    of_nobody = api.client.post("/v1/targets", json={"kind": "table", "from": "local", "model": "mdl_b"})
    assert of_nobody.status_code == 404
    assert api.client.post("/v1/targets", json={"kind": "table", "from": "tgt_none"}).status_code == 404


def test_a_table_of_the_shared_target_shows_nothing_of_another_owners_networks(api: LiveApi) -> None:
    store(api, "mdl_a", TABLE)
    table = "/v1/targets/local/lookup-table"
    for path in (table, f"{table}?model=mdl_a"):
        answer = api.stranger.get(path)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:netadapt:problem:no-measurements")
    for asked in ({}, {"model": "mdl_a"}):
        assert api.stranger.post("/v1/targets", json={"kind": "table", "from": "local", **asked}).status_code == 404
    with unit_of_work(api.services.sessions) as session:
        add_model(session, "mdl_of_bob", owner="bob")
    own = replace(TABLE, entries=TABLE.entries[:1])
    store(api, "mdl_of_bob", own)
    assert undated(api.stranger.get(table).json()) == own.to_document()


def test_a_new_profile_of_a_model_replaces_its_old_one(api: LiveApi) -> None:
    store(api, "mdl_a", TABLE)
    newer = replace(TABLE, entries=TABLE.entries[:1], calibration=1.0)
    store(api, "mdl_a", newer)
    assert undated(api.client.get("/v1/targets/local/lookup-table").json()) == newer.to_document()


def test_profiles_of_two_models_make_one_table_and_stay_apart(api: LiveApi) -> None:
    store(api, "mdl_a", TABLE)
    other = replace(TABLE, entries=(replace(TABLE.entries[0], ms=1.0, count=1),), calibration=1.0)
    store(api, "mdl_b", other)
    of_one = api.client.get("/v1/targets/local/lookup-table", params={"model": "mdl_b"}).json()
    assert undated(of_one) == other.to_document()
    merged = table_from_document(api.client.get("/v1/targets/local/lookup-table").json())
    by_operator = {entry.operator: entry for entry in merged.entries}
    assert merged.calibration == 1.0
    assert by_operator["conv"].ms == pytest.approx((3 * 0.5 * 1.5 + 1.0) / 4)
    assert by_operator["conv"].count == 4
    assert by_operator["linear"].ms == pytest.approx(0.25 * 1.5)


def test_what_was_measured_of_a_pick_joins_the_entries_of_its_model(api: LiveApi) -> None:
    store(api, "mdl_a", TABLE)
    known = TABLE.entries[0]
    slower = replace(known, ms=3 * known.ms * TABLE.calibration, count=known.count)
    with unit_of_work(api.services.sessions) as session:
        lookup = LookupRepository(session)
        lookup.add_observed("local", "mdl_a", CONDITIONS.fingerprint(), [slower])
        lookup.add_observed("local", "mdl_a", "another runtime version", [slower])
        lookup.add_observed("local", "mdl_never_profiled", CONDITIONS.fingerprint(), [slower])
    document = api.client.get("/v1/targets/local/lookup-table").json()
    entries = {(entry.operator, entry.shape): entry for entry in table_from_document(document).entries}
    assert len(entries) == len(TABLE.entries)
    assert entries[known.operator, known.shape].ms == pytest.approx(2 * known.ms)
    assert entries[known.operator, known.shape].count == 2 * known.count


def test_the_next_model_starts_from_what_was_measured_of_the_same_owners_models(api: LiveApi) -> None:
    with unit_of_work(api.services.sessions) as session:
        mine = add_model(session, "mdl_mine", owner="local")
        others = add_model(session, "mdl_others", owner="somebody")
    store(api, mine, TABLE)
    store(api, others, replace(TABLE, entries=TABLE.entries[:1]))
    with reading(api.services.sessions) as session:
        lookup = LookupRepository(session)
        (found,) = lookup.find_priors(Caller(id="local"), "local", CONDITIONS.fingerprint())
        assert [(entry.operator, entry.ms) for entry in found.entries] == [(e.operator, e.ms) for e in TABLE.entries]
        assert lookup.find_priors(Caller(id="local"), "local", "another runtime version") == []
        assert lookup.find_priors(Caller(id="nobody"), "local", CONDITIONS.fingerprint()) == []


def test_entries_of_another_runtime_version_are_not_mixed_in(api: LiveApi) -> None:
    store(api, "mdl_a", TABLE)
    newer = replace(TABLE, conditions=replace(CONDITIONS, runtime_version="2.0"), entries=TABLE.entries[1:])
    store(api, "mdl_b", newer)
    assert undated(api.client.get("/v1/targets/local/lookup-table").json()) == newer.to_document()
    with api.services.sessions() as session:
        lookup = LookupRepository(session)
        assert lookup.find_table("local", "mdl_a") is None
        known = lookup.find_table("local", "mdl_a", CONDITIONS.fingerprint())
    assert known is not None
    assert undated(known.to_document()) == TABLE.to_document()


def test_an_uploaded_table_without_dates_is_given_none(api: LiveApi) -> None:
    target = api.client.post("/v1/targets", json={"kind": "table", "table": TABLE.to_document()}).json()
    assert api.client.get(f"/v1/targets/{target['id']}/lookup-table").json() == TABLE.to_document()


def broken(**changes: Any) -> dict[str, Any]:
    document = copy.deepcopy(TABLE.to_document())
    document.update(changes)
    return {"kind": "table", "table": document}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"kind": "agent", "name": "phone"}, "table"),
        ({"kind": "table"}, "either `table` or `from`"),
        ({"kind": "table", "from": "local", "table": {}}, "either `table` or `from`"),
        ({"kind": "table", "from": "local", "color": 1}, "color"),
        ({"kind": "table", "from": "local", "name": ""}, "name"),
        ({"kind": "table", "table": {}}, "schema"),
        (broken(version=2), "version"),
        (broken(entries=[]), "entries"),
        (broken(calibration=-1), "calibration"),
        (broken(entries=[{"operator": "conv", "shape": "no", "ms": 1, "count": 1, "spread": 0}]), "shape"),
        (broken(entries=[TABLE.to_document()["entries"][0] | {"measured_at": "2026-13-45T00:00:00Z"}]), "measured_at"),
        (broken(entries=[TABLE.to_document()["entries"][0] | {"measured_at": "yesterday"}]), "measured_at"),
        ([], ""),
    ],
)
def test_a_bad_table_is_refused_by_field(api: LiveApi, body: Any, says: str) -> None:
    answer = api.client.post("/v1/targets", json=body)
    assert answer.status_code == 422
    assert says in answer.text
    assert len(api.client.get("/v1/targets").json()["data"]) == 1


@pytest.mark.parametrize(("content", "status"), [(b"{", 400), (b'{"kind": NaN}', 400), (b'{"kind": "a\\ud800"}', 400)])
def test_what_is_no_json_cannot_be_parsed(api: LiveApi, content: bytes, status: int) -> None:
    answer = api.client.post("/v1/targets", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert api.client.post("/v1/targets", content=content).status_code == 415


def test_a_target_goes_with_its_entries_and_local_stays(api: LiveApi) -> None:
    target = api.client.post("/v1/targets", json={"kind": "table", "table": TABLE.to_document()}).json()
    path = f"/v1/targets/{target['id']}"
    assert api.stranger.delete(path).status_code == 404
    assert api.client.delete(path).status_code == 204
    assert (api.client.get(path).status_code, api.client.delete(path).status_code) == (404, 404)
    with api.services.sessions() as session:
        assert LookupRepository(session).find_table(target["id"]) is None
    refused = api.client.delete("/v1/targets/local")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:netadapt:problem:in-use")


def test_a_name_in_place_of_an_id_is_told_where_the_id_stands(api: LiveApi) -> None:
    api.client.post("/v1/targets", json={"kind": "table", "name": "phone", "table": TABLE.to_document()})
    refused = api.client.get("/v1/targets/phone")
    assert refused.status_code == 404
    assert "list of targets" in refused.json()["detail"]


@pytest.mark.parametrize("state", ["queued", "running", "paused", "succeeded"])
def test_a_target_that_a_job_points_at_stays(api: LiveApi, state: str) -> None:
    with unit_of_work(api.services.sessions) as session:
        add_model(session)
        add_dataset_and_target(session)
        new = NewJob(name=None, model_id="mdl_a", dataset_id="dst_a", target_id="tgt_a", budget={}, settings={})
        job_id = JobRepository(session).add_job(Caller(id="ann"), new).id
        session.execute(update(JobRow).values(state=state))
    refused = api.client.delete("/v1/targets/tgt_a")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:netadapt:problem:in-use")
    assert job_id in refused.json()["detail"]
    assert api.client.get("/v1/targets/tgt_a").status_code == 200
