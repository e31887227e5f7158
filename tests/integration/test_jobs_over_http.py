"""Jobs over real HTTP, from the request to the last byte of a checkpoint; a worker's part is played by the test."""

import csv
import hashlib
import io
import json
import threading
from collections.abc import Iterator

import httpx
import pytest
import torch
from sqlalchemy import update

from adapt.checkpoint import read_safetensors
from adapt.groups import channel_groups
from app.database import unit_of_work
from app.jobs.queue import JobQueue
from app.jobs.recorder import JobRecorder
from app.jobs.records import (
    CheckpointFile,
    ClaimedJob,
    Control,
    Figures,
    FinishedIteration,
    JobProgress,
    LatencyFigures,
    NewCheckpoint,
    NewIteration,
    NewProposal,
)
from app.jobs.service import JobService
from app.models.repository import ModelRepository
from app.records import Caller
from app.settings import Settings
from app.tables import JobRow
from tests.pt2_files import exported
from tests.served_app import ServedApp, served_app

REQUEST = {"budget": {"macs": "60%"}, "settings": {"preset": "quick"}}


class TenClasses(torch.nn.Module):
    """Like the built-in data set; one group that can be pruned."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(1, 32, 3, padding=1)
        self.second = torch.nn.Conv2d(32, 16, 3)
        self.head = torch.nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))).mean((2, 3)))


def network(seed: int = 0) -> bytes:
    torch.manual_seed(seed)
    return exported(TenClasses(), channels=1)


@pytest.fixture(scope="module")
def app(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    with served_app(Settings(data_dir=tmp_path_factory.mktemp("service"), database_url=database_url)) as running:
        yield running


@pytest.fixture(scope="module")
def ann(app: ServedApp) -> Iterator[httpx.Client]:
    with app.client(app.create_token("ann")) as client:
        yield client


@pytest.fixture(scope="module")
def bob(app: ServedApp) -> Iterator[httpx.Client]:
    with app.client(app.create_token("bob")) as client:
        yield client


@pytest.fixture(scope="module")
def model(app: ServedApp, ann: httpx.Client) -> str:
    answer = ann.post("/v1/models", files={"file": ("net.pt2", network())})
    assert answer.status_code == 201, answer.text
    finish_check(app, answer.json()["id"])
    return answer.json()["id"]


def finish_check(app: ServedApp, model_id: str) -> None:
    with unit_of_work(app.sessions) as session:
        models = ModelRepository(session)
        weights = models.get_model(Caller(id="ann"), model_id).weights_sha256
        with app.services.storage.local_path(weights) as path:
            models.finish_check(model_id, channel_groups(read_safetensors(path)))


@pytest.fixture(autouse=True)
def _an_empty_queue(app: ServedApp) -> Iterator[None]:
    yield
    with unit_of_work(app.sessions) as session:
        session.execute(update(JobRow).where(JobRow.state.in_(("queued", "running"))).values(state="cancelled"))


def submit(client: httpx.Client, model_id: str, **changes: object) -> httpx.Response:
    return client.post("/v1/jobs", json={"model": model_id, **REQUEST, **changes})


def claim(app: ServedApp) -> ClaimedJob:
    with unit_of_work(app.sessions) as session:
        claimed = JobQueue(session).claim_next_job("test", lease_s=600)
    assert claimed is not None
    return claimed


def write(app: ServedApp, verb: str, *arguments: object) -> None:
    with unit_of_work(app.sessions) as session:
        getattr(JobRecorder(session), verb)(*arguments)


def proposal(group: str, **values: object) -> NewProposal:
    kept = {"layers": ["=cmd|calc"], "kind": "plain", "filters_before": 16, "filters_after": 8, "state": "evaluated"}
    return NewProposal(iteration=1, group=group, **{**kept, "predicted": {"macs": 5.0}, "kept": (0, 2), **values})


def search_once(app: ServedApp) -> ClaimedJob:
    """One iteration with two proposals, and the original's checkpoint."""
    claimed = claim(app)
    content = b"network file " * 1000
    blob = app.services.storage.put(content)
    files = [CheckpointFile(format="onnx", bytes=blob.bytes, sha256=blob.sha256)]
    figures = Figures(latency_ms=LatencyFigures(predicted=1.5), macs=100, accuracy=0.5, checkpoint="0")
    write(app, "set_original", claimed, figures)
    original = NewCheckpoint(
        checkpoint="0", kind="original", iteration=0, figures=figures, filters={"g": 16}, kept=None, files=files
    )
    write(app, "add_checkpoint", claimed, original)
    write(app, "add_iteration", claimed, NewIteration(iteration=1, constraint={"macs": 90.0}, before={"macs": 100.0}))
    write(app, "set_control", claimed, 1, Control(accuracy=0.5, loss=1.0, learning_rate=0.1))
    write(app, "add_proposal", claimed, proposal("g1", accuracy=0.5, delta_accuracy=-0.25, further={"g3": (1, 2)}))
    write(app, "add_proposal", claimed, proposal("g2", state="skipped", filters_after=None, reason="too small"))
    done = FinishedIteration(
        iteration=1, picked=["g1"], reasons={}, after={"macs": 80.0}, kept={"g1": (0,)}, holdout={"accuracy": 0.5}
    )
    write(app, "finish_iteration", claimed, done)
    return claimed


class TestSubmitting:
    def test_a_job_is_queued_with_its_effective_settings_and_a_location(self, ann, model):
        answer = submit(ann, model, name="mine")
        job = answer.json()
        assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/jobs/{job['id']}")
        assert (job["state"], job["name"], job["dataset"], job["target"]) == ("queued", "mine", "digits", "local")
        assert job["budget"] == {"macs": "60%"}
        assert (job["settings"]["preset"], job["settings"]["short_term_steps"]) == ("quick", 20)
        assert job["settings"]["schedule"]["macs"] == {"initial": 0.1, "decay": 0.96, "floor": 0.005}
        assert ann.get(answer.headers["location"]).json() == job
        named = {name: ann.get(path).status_code for name, path in job["links"].items() if name != "events"}
        assert {"report", "latency"} <= named.keys()
        assert set(named.values()) == {200}
        assert ann.get("/v1/jobs", params={"state": "queued", "model": model}).json()["data"][0] == job

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"budget": {}}, "/budget"),
            ({"budget": {"macs": 0}}, "/budget/macs"),
            ({"budget": {"macs": -1}}, "/budget/macs"),
            ({"budget": {"macs": "0%"}}, "/budget/macs"),
            ({"budget": {"macs": "101%"}}, "/budget/macs"),
            ({"budget": {"macs": "60 %"}}, "/budget/macs"),
            ({"budget": {"macs": "\u0665\u0660%"}}, "/budget/macs"),  # fifty, in digits that \d takes too
            ({"budget": {"macs": True}}, "/budget/macs"),
            ({"budget": {"macs": 1e300}}, "/budget/macs"),
            ({"budget": {"macs": None}}, "/budget"),
            ({"budget": {"energy": 1}}, "/budget/energy"),
            ({"budget": 5}, "/budget"),
            ({"settings": {"short_term_steps": 0}}, "/settings/short_term_steps"),
            ({"settings": {"short_term_steps": "5"}}, "/settings/short_term_steps"),
            ({"settings": {"colour": "red"}}, "/settings/colour"),
            ({"settings": {"pick": "reward"}}, "/settings/pick"),
            ({"settings": {"pick": "mnasnet-reward", "reward": {"alpha": 0.1}}}, "/settings/reward/alpha"),
            ({"settings": {"reward": {"beta": -11}}}, "/settings/reward/beta"),
            ({"settings": {"reward": {"gamma": 0}}}, "/settings/reward/gamma"),
            ({"settings": {"reward": -0.07}}, "/settings/reward"),
            ({"settings": {"distill": "yes"}}, "/settings/distill"),
            ({"settings": {"distill": True, "distill_temperature": 0}}, "/settings/distill_temperature"),
            ({"settings": {"distill_weight": 1.1}}, "/settings/distill_weight"),
            ({"settings": {"device": "tpu"}}, "/settings/device"),
            ({"settings": {"preset": "fast"}}, "/settings/preset"),
            ({"settings": {"schedule": {}}}, "/settings/schedule"),
            ({"settings": {"schedule": {"macs": {}}}}, "/settings/schedule/macs"),
            ({"settings": {"schedule": []}}, "/settings/schedule"),
            ({"settings": {"schedule": "fast"}}, "/settings/schedule"),
            ({"settings": {"schedule": {"macs": {"initial": 2, "decay": 1}}}}, "/settings/schedule/macs/initial"),
            ({"settings": {"seed": 2**63 - 1, "holdout": 0.9}}, "/settings/holdout"),
            ({"settings": {"batch_norm_batches": -1}}, "/settings/batch_norm_batches"),
            ({"settings": {"final": "scratch"}}, "/settings/final"),
            ({"settings": {"final": "from-scratch", "long_term_epochs": 0}}, "/settings/final"),
            ({"settings": {"training_learning_rate": 0.1}}, "/settings/training_learning_rate"),
            ({"settings": {"proposals": "all"}}, "/settings/proposals"),
            ({"settings": {"max_removed": 1.5}}, "/settings/max_removed"),
            (
                {"settings": {"group_limits": {"first": {"max_removed": -1}}}},
                "/settings/group_limits/first/max_removed",
            ),
            ({"settings": {"group_limits": {"first": {}}}}, "/settings/group_limits/first"),
            ({"settings": {"group_limits": ["first"]}}, "/settings/group_limits"),
            ({"settings": {"include": ["first", "frist"]}}, "/settings/include/1"),
            ({"settings": {"exclude": ["features.*"]}}, "/settings/exclude/0"),
            ({"settings": {"group_limits": {"a/b~*": {"max_removed": 0.5}}}}, "/settings/group_limits/a~1b~0*"),
            ({"settings": {"training_epochs": 3}}, "/settings/training_epochs"),
            ({"colour": "red"}, "/colour"),
            ({"name": ""}, "/name"),
            ({"name": "  "}, "/name"),
            ({"name": "\x1b[2J"}, "/name"),
            ({"name": "a\u202eb"}, "/name"),
        ],
    )
    def test_what_is_wrong_is_named_by_its_pointer_and_no_job_is_made(self, ann, model, changes, pointer):
        before = ann.get("/v1/jobs").json()
        answer = submit(ann, model, **changes)
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert pointer in [field["pointer"] for field in answer.json()["errors"]]
        assert ann.get("/v1/jobs").json() == before

    @pytest.mark.parametrize("driver", [False, True])
    def test_a_gpu_is_refused_at_once_only_where_it_is_known_that_there_is_none(self, ann, model, driver, monkeypatch):
        monkeypatch.setattr("app.jobs.service.driver_is_here", lambda: driver)
        monkeypatch.setattr("app.jobs.service.on_one_machine", lambda sessions: True)
        answer = submit(ann, model, settings={"device": "cuda"})
        assert answer.status_code == (202 if driver else 422)
        if not driver:
            (field,) = answer.json()["errors"]
            assert field["pointer"] == "/settings/device"
            assert "no NVIDIA driver" in field["detail"]
        assert "cuda" in ann.get("/v1/info").json()["built"]["devices"]

    def test_an_unknown_importance_is_refused_with_those_that_there_are(self, ann, model):
        (field,) = submit(ann, model, settings={"importance": "hessian"}).json()["errors"]
        there_are = ann.get("/v1/info").json()["built"]["importances"]
        assert field["pointer"] == "/settings/importance"
        assert all(f"'{name}'" in field["detail"] for name in there_are)
        for name in there_are:
            answer = submit(ann, model, settings={"importance": name})
            assert (answer.status_code, answer.json()["settings"]["importance"]) == (202, name)

    def test_the_reward_has_the_papers_exponents_unless_they_are_given(self, ann, model):
        soft = submit(ann, model, settings={"pick": "mnasnet-reward"}).json()["settings"]
        assert (soft["pick"], soft["reward"]) == ("mnasnet-reward", {"alpha": -0.07, "beta": -0.07})
        hard = submit(ann, model, settings={"pick": "mnasnet-reward", "reward": {"alpha": 0, "beta": -1}}).json()
        assert hard["settings"]["reward"] == {"alpha": 0, "beta": -1}

    def test_every_value_that_info_lists_is_taken(self, ann, model):
        built = ann.get("/v1/info").json()["built"]
        assert built["distill"] == [False, True]
        values = {"pick": built["picks"], "final": built["finals"], "distill": built["distill"]}
        for name, value in ((name, value) for name, listed in values.items() for value in listed):
            answer = submit(ann, model, settings={name: value})
            assert (answer.status_code, answer.json()["settings"][name]) == (202, value)
        scratch = submit(ann, model, settings={"final": "from-scratch", "training_learning_rate": 0.2})
        assert scratch.json()["settings"]["training_learning_rate"] == 0.2

    def test_a_pattern_without_a_layer_is_named_with_the_nearest_that_there_are(self, ann, model):
        problem = submit(ann, model, settings={"exclude": ["First", "head"], "include": ["s*", "layer.*"]}).json()
        assert problem["type"] == "urn:netadapt:problem:no-such-layer"
        assert {field["pointer"]: field["detail"] for field in problem["errors"]} == {
            "/settings/exclude/0": "'First' matches no convolution or linear layer of this network; "
            "the nearest are first",
            "/settings/include/1": "'layer.*' matches no convolution or linear layer of this network; "
            "there are first, second, head",
        }

    def test_limits_by_group_are_echoed_and_bound_what_can_be_reached(self, ann, model):
        limits = {"first": {"max_removed": 0.5}, "*": {"min_channels": 8}}
        job = submit(ann, model, settings={"group_limits": limits, "max_removed": 0.9, "augment": True}).json()
        echoed = job["settings"]["group_limits"]
        assert {name: {k: v for k, v in own.items() if v is not None} for name, own in echoed.items()} == limits
        assert (job["settings"]["max_removed"], job["settings"]["proposals"]) == (0.9, "groups")
        assert job["settings"]["augment"] is True
        frozen = {"group_limits": {"*": {"max_removed": 0}}}
        answer = ann.post("/v1/jobs?validate_only=true", json={"model": model, **REQUEST, "settings": frozen}).json()
        assert (answer["feasible"], answer["smallest"]["macs"]) == (False, answer["original"]["macs"])

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[" * 100_000,
            b'{"budget": {"macs": NaN}}',
            b'{"budget": {"macs": 1e999}}',
            b'{"budget": {"macs": ' + b"9" * 5000 + b"}}",
            b'{"budget": {"macs": 99999999999999999999}}',
            b'{"name": "\\u0000"}',
            b'{"name": "\\ud800"}',
            b'{"name": "a", "name": "b"}',
            b"\xff\xfe{}",
        ],
    )
    def test_what_is_no_json_of_ours_is_malformed(self, ann, body):
        answer = ann.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:netadapt:problem:malformed")

    def test_other_media_types_and_large_bodies_are_refused(self, ann):
        assert ann.post("/v1/jobs", content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
        large = b'{"name": "' + b"x" * 2_000_000 + b'"}'
        assert ann.post("/v1/jobs", content=large, headers={"Content-Type": "application/json"}).status_code == 413

    @pytest.mark.parametrize("field", ["model", "dataset", "target"])
    def test_an_unknown_id_is_not_found_by_its_pointer(self, ann, model, field):
        answer = submit(ann, model, **{field: "mdl_nobody"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (404, f"/{field}")

    def test_somebody_elses_model_is_not_found(self, bob, model):
        assert submit(bob, model).status_code == 404

    def test_a_budget_below_the_smallest_network_is_refused_with_what_can_be_reached(self, ann, model):
        answer = submit(ann, model, budget={"params": 10})
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (422, "urn:netadapt:problem:budget-unreachable")
        assert problem["errors"][0]["pointer"] == "/budget/params"
        smallest = int(problem["detail"].split("asked, ")[1].split()[0])
        assert submit(ann, model, budget={"params": smallest}).status_code == 202
        assert submit(ann, model, budget={"params": smallest - 1}).status_code == 422

    def test_a_schedule_that_ends_before_the_budget_is_refused_with_the_decay_that_would_not(self, ann, model):
        settings = {"schedule": {"initial": 0.02, "decay": 0.9}}
        answer = submit(ann, model, settings=settings)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:netadapt:problem:schedule-too-short")
        assert "decay of" in answer.json()["detail"]

    def test_validate_only_answers_without_a_job(self, ann, model):
        before = ann.get("/v1/jobs").json()
        request = {"model": model, **REQUEST}
        answer = ann.post("/v1/jobs", params={"validate_only": "true"}, json=request)
        assert (answer.status_code, answer.json()["feasible"]) == (200, True)
        unreachable = ann.post("/v1/jobs?validate_only=true", json={**request, "budget": {"macs": 1}})
        assert (unreachable.status_code, unreachable.json()["feasible"]) == (200, False)
        assert ann.get("/v1/jobs").json() == before

    def test_the_same_idempotency_key_gives_the_first_answer_again(self, ann, model):
        headers = {"Idempotency-Key": "once"}
        first = ann.post("/v1/jobs", json={"model": model, **REQUEST}, headers=headers)
        again = ann.post("/v1/jobs", json={"model": model, **REQUEST}, headers=headers)
        other = ann.post("/v1/jobs", json={"model": model, **REQUEST, "name": "x"}, headers=headers)
        assert again.json() == first.json()
        assert other.status_code == 422

    def test_a_job_whose_answer_was_lost_is_not_made_twice(self, ann, model, monkeypatch):
        request, headers = {"model": model, **REQUEST}, {"Idempotency-Key": "lost"}
        submit_in_full = JobService.submit

        def submit_and_die(*asked) -> None:
            submit_in_full(*asked)
            raise RuntimeError("killed before it could answer")

        with monkeypatch.context() as killed:
            killed.setattr(JobService, "submit", submit_and_die)
            assert ann.post("/v1/jobs", json=request, headers=headers).status_code == 500
        (made,) = ann.get("/v1/jobs", params={"limit": 1}).json()["data"]
        again = ann.post("/v1/jobs", json=request, headers=headers)
        assert (again.status_code, again.json()["id"]) == (202, made["id"])
        assert ann.get("/v1/jobs", params={"limit": 1}).json()["data"] == [made]

    def test_one_call_takes_the_network_and_the_budget_in_any_order(self, app, ann):
        files = [("model", ("net.pt2", network(1))), ("request", (None, json.dumps(REQUEST)))]
        for parts in (files, files[::-1]):
            answer = ann.post("/v1/jobs", files=parts)
            assert answer.status_code == 202, answer.text
        job = answer.json()
        assert ann.get(f"/v1/models/{job['model']}").json()["state"] == "checking"

    def test_a_refused_one_call_leaves_neither_job_nor_model(self, ann):
        def left() -> list[object]:
            return [ann.get("/v1/jobs").json(), ann.get("/v1/models").json()]

        before = left()
        unfit = json.dumps({**REQUEST, "target": "tgt_nobody"})
        unnamed = json.dumps({**REQUEST, "settings": {"include": ["nothing.*"]}})
        for request in (json.dumps({"budget": {}}), "{", unfit, unnamed):
            answer = ann.post("/v1/jobs", files={"model": ("net.pt2", network(2)), "request": (None, request)})
            assert answer.status_code in {400, 404, 422}
        assert left() == before

    def test_of_two_files_in_one_call_the_refused_one_is_named(self, ann):
        good, bad = network(3), b"no archive at all"
        for model, dataset, named in ((bad, bad, "mine.pt2: "), (good, bad, "images.npz: ")):
            files = {"model": ("mine.pt2", model), "dataset": ("images.npz", dataset)}
            answer = ann.post("/v1/jobs", files={**files, "request": (None, json.dumps({"budget": {"macs": "50%"}}))})
            assert answer.status_code in {415, 422}
            assert answer.json()["detail"].startswith(named)


class TestLookingAndActing:
    def test_what_is_somebody_elses_is_not_there(self, app, ann, bob, model):
        job = submit(ann, model).json()["id"]
        paths = ["", "/events", "/iterations", "/proposals", "/iterations/1/proposals", "/checkpoints"]
        for path in [*paths, "/checkpoints/0/file?format=onnx", "/proposals?format=csv"]:
            assert bob.get(f"/v1/jobs/{job}{path}").status_code == 404, path
        for action in ("cancel", "pause", "resume"):
            assert bob.post(f"/v1/jobs/{job}/{action}").status_code == 404
        assert bob.post(f"/v1/jobs/{job}/extend", json={"budget": {"macs": 5}}).status_code == 404
        assert bob.delete(f"/v1/jobs/{job}").status_code == 404
        assert bob.get(f"/v1/jobs/{job}/events", headers={"Accept": "text/event-stream"}).status_code == 404
        assert bob.get("/v1/jobs").json()["data"] == []

    def test_actions_answer_202_once_200_again_and_409_when_impossible(self, app, ann, model):
        job = submit(ann, model).json()["id"]

        def act(action: str) -> tuple[int, str | None]:
            answer = ann.post(f"/v1/jobs/{job}/{action}")
            return answer.status_code, answer.json().get("state")

        assert [act(a) for a in ("pause", "pause", "resume", "resume")] == [
            (202, "paused"),
            (200, "paused"),
            (202, "queued"),
            (200, "queued"),
        ]
        claimed = claim(app)
        assert ann.delete(f"/v1/jobs/{job}").status_code == 409
        assert ann.post(f"/v1/jobs/{job}/cancel").json()["requested"] == "cancel"
        write(app, "finish", claimed, "cancelled")
        assert act("cancel") == (200, "cancelled")
        assert [act(a)[0] for a in ("pause", "resume")] == [409, 409]
        assert ann.delete(f"/v1/jobs/{job}").status_code == 204
        assert ann.get(f"/v1/jobs/{job}").status_code == 404

    def test_iterations_and_proposals_are_listed_ascending_in_pages(self, app, ann, model):
        job = submit(ann, model).json()["id"]
        search_once(app)
        (iteration,) = ann.get(f"/v1/jobs/{job}/iterations").json()["data"]
        assert (iteration["constraint"], iteration["control"]) == ({"macs": 90.0}, {"accuracy": 0.5, "loss": 1.0})
        first = ann.get(f"/v1/jobs/{job}/proposals", params={"limit": 1}).json()
        second = ann.get(f"/v1/jobs/{job}/proposals", params={"limit": 1, "cursor": first["next_cursor"]}).json()
        assert [p["group"] for p in first["data"] + second["data"]] == ["g1", "g2"]
        assert second["next_cursor"] is None
        assert (first["data"][0]["picked"], [first["data"][0]["id"]]) == (True, iteration["picked"])
        assert [p["further"] for p in first["data"] + second["data"]] == [{"g3": [1, 2]}, {}]
        own = ann.get(f"/v1/jobs/{job}/iterations/1/proposals").json()
        assert own["data"] == first["data"] + second["data"]
        assert ann.get(f"/v1/jobs/{job}/iterations/2/proposals").status_code == 404
        elsewhere = ann.get(f"/v1/jobs/{job}/checkpoints", params={"cursor": first["next_cursor"]})
        assert (elsewhere.status_code, elsewhere.json()["errors"][0]["parameter"]) == (422, "cursor")

    def test_csv_has_every_row_and_nothing_that_a_spreadsheet_would_run(self, app, ann, model):
        job = submit(ann, model).json()["id"]
        search_once(app)
        answer = ann.get(f"/v1/jobs/{job}/proposals?format=csv")
        assert answer.headers["content-type"].startswith("text/csv")
        assert answer.text.count("\r\n") == 3
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [row["layers"] for row in rows] == ["'=cmd|calc"] * 2
        assert (rows[0]["delta_accuracy"], rows[0]["predicted.macs"], rows[0]["kept"]) == ("-0.25", "5.0", "0 2")
        assert (json.loads(rows[0]["further"]), rows[1]["further"]) == ({"g3": [1, 2]}, "")
        assert (rows[1]["filters_after"], rows[1]["picked"]) == ("", "false")
        assert len(ann.get(f"/v1/jobs/{job}/iterations?format=csv").text.splitlines()) == 2

    def test_a_checkpoint_file_comes_whole_in_ranges_or_not_at_all_when_it_is_known(self, app, ann, model):
        job = submit(ann, model).json()["id"]
        search_once(app)
        (checkpoint,) = ann.get(f"/v1/jobs/{job}/checkpoints").json()["data"]
        (file,) = checkpoint["files"]
        whole = ann.get(file["url"])
        assert hashlib.sha256(whole.content).hexdigest() == file["sha256"]
        assert whole.headers["etag"] == f'"{file["sha256"]}"'
        assert int(whole.headers["content-length"]) == file["bytes"] == len(whole.content)
        part = ann.get(file["url"], headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, whole.content[10:20])
        assert part.headers["content-range"] == f"bytes 10-19/{file['bytes']}"
        assert ann.get(file["url"], headers={"Range": "bytes=-5"}).content == whole.content[-5:]
        assert ann.get(file["url"], headers={"Range": "bytes=99999999-"}).status_code == 416
        assert ann.get(file["url"], headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
        assert ann.head(file["url"]).headers["content-length"] == str(file["bytes"])
        missing = ann.get(f"/v1/jobs/{job}/checkpoints/final/file?format=onnx").json()["detail"]
        assert missing.endswith(f"the newest that there is: {checkpoint['checkpoint']}")
        for wrong in ("0/file?format=pt2", "9/file?format=onnx", "final/file?format=onnx"):
            assert ann.get(f"/v1/jobs/{job}/checkpoints/{wrong}").status_code == 404
        assert ann.get(f"/v1/jobs/{job}/checkpoints/0/file?format=exe").status_code == 422

    def test_extending_makes_a_new_job_that_continues_the_old_one(self, app, ann, model):
        job = submit(ann, model).json()["id"]
        extend = {"budget": {"macs": "50%"}}
        assert ann.post(f"/v1/jobs/{job}/extend", json=extend).status_code == 409
        write(app, "finish", search_once(app), "succeeded")
        looser = ann.post(f"/v1/jobs/{job}/extend", json={"budget": {"macs": "70%"}})
        assert (looser.status_code, looser.json()["errors"][0]["pointer"]) == (422, "/budget/macs")
        assert ann.post(f"/v1/jobs/{job}/extend", json={"budget": {"macs": "60%"}}).status_code == 422
        answer = ann.post(f"/v1/jobs/{job}/extend", json=extend)
        assert (answer.status_code, answer.json()["continues"]) == (202, job)
        assert answer.json()["id"] != job
        assert ann.delete(f"/v1/jobs/{job}").status_code == 409

    def test_extending_one_that_got_nowhere_goes_on_from_the_job_that_it_continues(self, app, ann, model):
        job = submit(ann, model).json()["id"]
        write(app, "finish", search_once(app), "succeeded")
        extend = {"budget": {"macs": "50%"}}
        second = ann.post(f"/v1/jobs/{job}/extend", json=extend).json()["id"]
        assert ann.post(f"/v1/jobs/{second}/cancel").status_code == 202
        looser = ann.post(f"/v1/jobs/{second}/extend", json={"budget": {"macs": "55%"}})
        assert (looser.status_code, looser.json()["errors"][0]["pointer"]) == (422, "/budget/macs")
        third = ann.post(f"/v1/jobs/{second}/extend", json=extend)
        assert (third.status_code, third.json()["continues"]) == (202, job)
        assert ann.delete(f"/v1/jobs/{second}").status_code == 204
        assert ann.delete(f"/v1/jobs/{job}").status_code == 409  # the third starts from one of its iterations


def sse_events(text: str) -> list[tuple[str | None, str, dict[str, object]]]:
    """(id, event, data) of each event; comments are left out."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
    return found


class TestEvents:
    def test_the_stream_tells_everything_resumes_and_ends_after_the_last_state(self, app, ann, model):
        job = submit(ann, model).json()["id"]
        claimed = search_once(app)
        told = threading.Event()

        def finish_when_told() -> None:
            told.wait(30)
            write(app, "set_progress", claimed, JobProgress(fraction=0.5))
            write(app, "finish", claimed, "succeeded")

        worker = threading.Thread(target=finish_when_told)
        worker.start()
        text = ""
        with ann.stream("GET", f"/v1/jobs/{job}/events", headers={"Accept": "text/event-stream"}) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            for chunk in stream.iter_text():
                text += chunk
                told.set()
        worker.join()
        numbered = [event for event in sse_events(text) if event[0] is not None]
        assert [int(number) for number, _, _ in numbered if number] == list(range(1, len(numbered) + 1))
        assert (numbered[-1][1], numbered[-1][2]["data"]["state"]) == ("state", "succeeded")
        assert {event for _, event, _ in numbered} == {"state", "measurement", "checkpoint", "iteration", "proposal"}
        listed = ann.get(f"/v1/jobs/{job}/events").json()["data"]
        assert listed == [data for _, _, data in numbered]
        headers = {"Accept": "text/event-stream", "Last-Event-ID": "3"}
        resumed = sse_events(ann.get(f"/v1/jobs/{job}/events", headers=headers).text)
        assert [event for event in resumed if event[0] is not None] == numbered[3:]
        assert [e["id"] for e in ann.get(f"/v1/jobs/{job}/events?after=3&limit=2").json()["data"]] == [4, 5]

    def test_a_stream_of_a_job_that_is_over_ends_at_once(self, ann, model):
        job = submit(ann, model).json()["id"]
        ann.post(f"/v1/jobs/{job}/cancel")
        answer = ann.get(f"/v1/jobs/{job}/events", headers={"Accept": "text/event-stream"})
        assert [data["data"]["state"] for _, _, data in sse_events(answer.text)] == ["queued", "cancelled"]
