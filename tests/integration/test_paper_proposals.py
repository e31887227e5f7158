"""The proposals of MobileNetV3, section 4.2, from the request to what REST says of the search that a worker made."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from adapt.errors import Stopped
from adapt.events import IterationDone, ProposalEvaluated
from app.database import unit_of_work
from app.jobs.queue import JobQueue
from app.tables import JobRow
from app.tasks.queue import TaskQueue
from benchmarks.audit_rules import Record, violations
from tests.live_api import LiveApi, live_api
from tests.networks import InvertedResidual, conv_bn, export_pt2
from workers import adaptation
from workers.adaptation import run_job
from workers.service import Service
from workers.tasks import run_task

pytestmark = pytest.mark.databases("sqlite")  # its point is no SQL

SETTINGS = {
    "preset": "quick",
    "proposals": "paper",
    "short_term_steps": 1,
    "long_term_epochs": 0,
    "executor": "serial",
    "allow_low_accuracy": True,
    "round_channels_to": 4,
    "min_channels": 4,
    "schedule": {"initial": 0.1, "decay": 1.0},
}
BOTTLENECKS = ("blocks.0.body.2.0", "blocks.1.body.2.0")  # both of 24 channels; no shortcut ties one to the other
PLAIN = ("stem.0", "blocks.3.body.2.0")  # outside of the blocks that a shortcut shows
ONLY_BOTTLENECKS = {"include": list(BOTTLENECKS)}


class TwoStagesOfOneSize(nn.Module):
    """[N, 1, 16, 16] to [N, 10]: three blocks of 24 channels, of which a shortcut ties the last two, and one of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(1, 16, 3, 2, activation=nn.ReLU6)
        sizes = ((16, 24, 1), (24, 24, 2), (24, 24, 1), (24, 32, 2))
        self.blocks = nn.Sequential(*(InvertedResidual(before, after, stride, 2) for before, after, stride in sizes))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.blocks(self.stem(x)).mean((2, 3)))
        return scores


@pytest.fixture(name="api", scope="module")
def _api(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(tmp_path_factory.mktemp("service"), database_url=database_url) as running:
        yield running


@pytest.fixture(name="service", scope="module")
def _service(api: LiveApi) -> Service:
    return Service(
        sessions=api.services.sessions,
        storage=api.services.storage,
        settings=api.services.settings,
        lock_directory=api.folder / "lock",
        worker_id="test",
    )


@pytest.fixture(name="model", scope="module")
def _model(api: LiveApi, service: Service) -> str:
    torch.manual_seed(0)
    content = export_pt2(TwoStagesOfOneSize(), (2, 1, 16, 16))
    model_id: str = api.client.post("/v1/models", files={"file": ("net.pt2", content)}).json()["id"]
    with unit_of_work(service.sessions) as session:
        task = TaskQueue(session).claim_next_task("test", lease_s=30)
    assert task is not None
    run_task(task, service, shutdown=lambda: False)
    return model_id


def submit(api: LiveApi, model: str, **changed: object) -> str:
    body = {"model": model, "budget": {"params": "85%"}, "settings": {**SETTINGS, **changed}}
    answer = api.client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def work(service: Service) -> None:
    with unit_of_work(service.sessions) as session:
        claimed = JobQueue(session).claim_next_job("test", lease_s=30)
    assert claimed is not None
    run_job(claimed, service, lambda: False)


def record_of(api: LiveApi, job_id: str) -> Record:
    def listed(path: str) -> list[dict]:
        found: list[dict] = api.client.get(f"/v1/jobs/{job_id}/{path}?limit=500").json()["data"]
        return found

    job = api.client.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["error"]) == ("succeeded", None)
    return Record(
        job=job,
        model=api.client.get(f"/v1/models/{job['model']}").json(),
        iterations=listed("iterations"),
        proposals=listed("proposals"),
        checkpoints=listed("checkpoints"),
        events=listed("events"),
    )


def test_bottlenecks_of_one_size_shrink_together_and_the_whole_search_stands_up_to_the_audit(
    api: LiveApi, service: Service, model: str
) -> None:
    job_id = submit(api, model)
    work(service)
    record = record_of(api, job_id)
    assert violations(record) == []
    first, second = BOTTLENECKS
    tied = [proposal for proposal in record.proposals if proposal["group"] == first]
    assert len(tied) == len(record.iterations)
    assert all(set(proposal["further"]) == {second} for proposal in tied)
    assert tied[0]["layers"] == [first, second, "blocks.2.body.2.0"]
    assert {proposal["group"] for proposal in record.proposals} == {
        group["id"] for group in record.model["groups"] if group["kind"] in ("expansion", "bottleneck")
    } - {second}
    told = [event["data"].get("text", "") for event in record.events]
    left = f"left as they are by the settings (plain, which is none of the paper's proposals): {', '.join(PLAIN)}"
    assert told.count(left) == 1


@pytest.fixture(name="undisturbed", scope="module")
def _undisturbed(api: LiveApi, service: Service, model: str) -> Record:
    job_id = submit(api, model, **ONLY_BOTTLENECKS)
    work(service)
    return record_of(api, job_id)


@pytest.mark.parametrize("kind", [ProposalEvaluated, IterationDone])
def test_a_job_cut_off_in_between_ends_with_the_same_bytes(
    api: LiveApi, service: Service, undisturbed: Record, monkeypatch: pytest.MonkeyPatch, kind: type
) -> None:
    cut = submit(api, undisturbed.job["model"], **ONLY_BOTTLENECKS)
    with monkeypatch.context() as patched:
        interrupt_after(patched, kind)
        work(service)
    with unit_of_work(service.sessions) as session:  # as if the dead worker's lease had run out
        row = session.get_one(JobRow, cut)
        row.state, row.lease_owner, row.lease_expires_at = "queued", None, None
    work(service)
    records = [undisturbed, record_of(api, cut)]
    assert [violations(record) for record in records] == [[], []]
    assert len({file["sha256"] for record in records for file in record.checkpoints[-1]["files"]}) == 3
    final = records[1].checkpoints[-1]["filters"]
    assert final[BOTTLENECKS[0]] == final[BOTTLENECKS[1]] < 24
    told = [event["data"].get("text", "") for event in records[1].events]
    assert sum(text.startswith("left as they are by the settings (not in include): ") for text in told) == 1


class Interrupted(Stopped):
    """Stands for a worker that is gone: nothing more is written."""


def interrupt_after(patched: pytest.MonkeyPatch, kind: type) -> None:
    class Interrupting(adaptation.Recording):
        def write(self, event: object) -> None:  # type: ignore[override]
            super().write(event)
            if isinstance(event, kind):
                raise Interrupted("gone")

    patched.setattr(adaptation, "Recording", Interrupting)
