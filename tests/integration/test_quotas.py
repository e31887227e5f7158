"""How much one owner may keep, on both databases and over real HTTP; and how long a job may run."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from adapt.latency.table import Entry, LookupTable
from app.blobs import BlobRepository
from app.database import Sessions, database_now, unit_of_work
from app.jobs.records import NewJob
from app.jobs.repository import JobRepository
from app.quotas import QuotaExceeded, QuotaRepository, Quotas
from app.records import Caller
from app.settings import Settings
from app.tables import JobValueRow, ModelRow
from tests.databases import DATABASES, migrated_sessions
from tests.latency import CONDITIONS
from tests.one_of_everything import one_of_everything
from tests.pt2_files import small_pt2
from tests.rows import add_dataset_and_target, add_model
from tests.served_app import ServedApp, served_app

ANN, BOB = Caller(id="ann"), Caller(id="bob")


@pytest.fixture(params=DATABASES)
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sessions]:
    with migrated_sessions(request.param, tmp_path) as made:
        yield made


def add_stored_model(sessions: Sessions, model_id: str, quotas: Quotas, *, sha256: str, size: int) -> None:
    with unit_of_work(sessions) as session:
        QuotaRepository(session, quotas).refuse_model(ANN, size)
        BlobRepository(session).add_blob(sha256, size)
        add_model(session, model_id)
        session.get_one(ModelRow, model_id).weights_sha256 = sha256


def test_bytes_are_those_of_ones_own_files_each_once(sessions: Sessions) -> None:
    add_stored_model(sessions, "mdl_a", Quotas(), sha256="a" * 64, size=70)
    add_stored_model(sessions, "mdl_b", Quotas(), sha256="a" * 64, size=70)
    add_stored_model(sessions, "mdl_c", Quotas(), sha256="c" * 64, size=7)
    with unit_of_work(sessions) as session:
        quotas = QuotaRepository(session, Quotas())
        assert (quotas.stored_bytes(ANN), quotas.stored_bytes(BOB)) == (77, 0)


def test_bytes_are_also_those_that_a_job_keeps_to_go_on_from(sessions: Sessions) -> None:
    new = NewJob(name=None, model_id="mdl_a", dataset_id="dst_a", target_id="tgt_a", budget={"macs": 1}, settings={})
    with unit_of_work(sessions) as session:
        add_dataset_and_target(session)
        add_model(session)
        BlobRepository(session).add_blob("d" * 64, 30)
        job = JobRepository(session).add_job(ANN, new)
        now = database_now(session)
        for key, value in (("trained", {"sha256": "d" * 64}), ("original", {"holdout": 0.5})):
            session.add(JobValueRow(job_id=job.id, key=key, value=value, created_at=now))
    with unit_of_work(sessions) as session:
        quotas = QuotaRepository(session, Quotas())
        assert (quotas.stored_bytes(ANN), quotas.stored_bytes(BOB)) == (30, 0)


def test_what_is_too_much_is_refused_by_name_with_the_limit_and_what_there_is(sessions: Sessions) -> None:
    quotas = Quotas(max_stored_bytes_per_owner=100)
    add_stored_model(sessions, "mdl_a", quotas, sha256="a" * 64, size=70)
    with pytest.raises(
        QuotaExceeded, match="max_stored_bytes_per_owner is 100 here: you have 70, and this would add 40"
    ):
        add_stored_model(sessions, "mdl_b", quotas, sha256="b" * 64, size=40)
    add_stored_model(sessions, "mdl_b", quotas, sha256="b" * 64, size=30)


def test_two_at_once_do_not_slip_through_together(sessions: Sessions) -> None:
    quotas, refused = Quotas(max_models_per_owner=3), []

    def add(number: int) -> None:
        try:
            add_stored_model(sessions, f"mdl_{number}", quotas, sha256=f"{number}" * 64, size=1)
        except QuotaExceeded:
            refused.append(number)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 5


@contextmanager
def limited(folder: Path, **limits: int) -> Iterator[tuple[ServedApp, httpx.Client, httpx.Client]]:
    with served_app(Settings(data_dir=folder, **limits)) as app:
        ann, bob = (app.client(app.create_token(owner)) for owner in ("ann", "bob"))
        with ann, bob:
            yield app, ann, bob


def images(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    np.savez(buffer, x_train=pixels, y_train=np.arange(20) % 2)
    return buffer.getvalue()


def add_images(client: httpx.Client, seed: int) -> httpx.Response:
    return client.post("/v1/datasets", files={"file": ("d.npz", images(seed))})


def is_over_quota(answer: httpx.Response, name: str) -> bool:
    problem = answer.json()
    return (answer.status_code, problem["type"], name in problem["detail"]) == (
        403,
        "urn:netadapt:problem:quota-exceeded",
        True,
    )


def test_one_data_set_too_many_is_refused_and_deleting_one_makes_room(tmp_path: Path) -> None:
    with limited(tmp_path, max_datasets_per_owner=1) as (app, ann, bob):
        first = add_images(ann, 1)
        assert first.status_code == 201
        files = sorted(path for path in (tmp_path / "files").rglob("*") if path.is_file())
        assert is_over_quota(add_images(ann, 2), "max_datasets_per_owner is 1")
        assert files == sorted(path for path in (tmp_path / "files").rglob("*") if path.is_file())
        assert list(app.services.scratch.iterdir()) == []
        assert add_images(ann, 1).status_code == 200  # the same again is no further one
        assert add_images(bob, 2).status_code == 201
        assert ann.delete(first.headers["location"]).status_code == 204
        assert add_images(ann, 2).status_code == 201


def test_one_model_too_many_is_refused_whether_it_is_sent_or_made_of_a_zoo_name(tmp_path: Path) -> None:
    with limited(tmp_path, max_models_per_owner=1) as (_, ann, bob):
        network = {"file": ("net.pt2", small_pt2())}
        job = {"model": "mobilenet_v1_0.25", "dataset": "digits", "budget": {"macs": "50%"}}
        assert ann.post("/v1/models", files=network).status_code == 201
        assert is_over_quota(ann.post("/v1/jobs", json=job), "max_models_per_owner is 1")
        assert ann.get("/v1/jobs").json()["data"] == []
        assert bob.post("/v1/jobs", json=job).status_code == 202
        assert is_over_quota(bob.post("/v1/models", files=network), "max_models_per_owner is 1")


def test_one_target_too_many_is_refused_whoever_brings_it(tmp_path: Path) -> None:
    with limited(tmp_path, max_targets_per_owner=1) as (_, ann, bob):
        local = {"kind": "local", "threads": 1}
        conditions = replace(CONDITIONS, runtime="onnxruntime").to_json()
        phone = {"name": "phone", "instance": "drawn-at-random", "conditions": conditions}
        claim = "/v1/agent/tasks/claim?wait=0"
        assert ann.post(claim, json=phone).status_code == 204
        assert ann.post(claim, json=phone).status_code == 204  # the same again is no further one
        assert is_over_quota(ann.post(claim, json={**phone, "name": "watch"}), "max_targets_per_owner is 1")
        assert is_over_quota(ann.post("/v1/targets", json=local), "max_targets_per_owner is 1")
        layer = Entry(operator="conv", shape="3x8x8>8x8x8", ms=0.5, count=3, spread=0.1)
        document = LookupTable(entries=(layer,), calibration=1.0, conditions=CONDITIONS).to_document()
        table = {"kind": "table", "table": document}
        assert is_over_quota(ann.post("/v1/targets", json=table), "max_targets_per_owner is 1")
        assert bob.post("/v1/targets", json=table).status_code == 201


def test_whoever_may_store_nothing_more_begins_no_job_either(tmp_path: Path) -> None:
    with limited(tmp_path, max_stored_bytes_per_owner=100_000) as (app, ann, bob):
        ids = one_of_everything(app, ann, "ann")
        written = app.services.storage.put(bytes(200_000))
        with unit_of_work(app.sessions) as session:  # as if a job of hers had written so much meanwhile
            BlobRepository(session).add_blob(written.sha256, written.bytes)
            session.get_one(ModelRow, ids["model_id"]).weights_sha256 = written.sha256
        asked = {"model": ids["model_id"], "dataset": ids["dataset_id"], "target": ids["target_id"]}
        answer = ann.post("/v1/jobs", json={**asked, "budget": {"macs": "50%"}})
        assert is_over_quota(answer, "max_stored_bytes_per_owner is 100000")
        again = ann.post(f"/v1/jobs/{ids['job_id']}/extend", json={"budget": {"macs": "10%"}})
        assert is_over_quota(again, "max_stored_bytes_per_owner is 100000")
        assert is_over_quota(add_images(ann, 5), "max_stored_bytes_per_owner is 100000")
        assert add_images(bob, 5).status_code == 201
