"""A worker on a real database and storage: a job recorded to its end, and resumed wherever it was cut off."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sqlalchemy import text, update

from adapt.checkpoint import read_network, write_safetensors
from adapt.errors import Stopped, figure_of
from adapt.events import ControlEvaluated, EpochDone, IterationDone, Latency, Measured, ProposalEvaluated
from adapt.executors import evaluate
from adapt.graph.costs import costs
from adapt.graph.shapes import infer_shapes
from adapt.graph.shares import shares_by_kind
from adapt.latency.local_device import LocalDevice
from adapt.latency.machine_lock import MachineLock
from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.latency.staircase import Ratio, Staircase
from adapt.latency.watched import COLD_MS
from adapt.presets import effective_settings, settings_to_document
from adapt.spec import default_normalization
from adapt.training.losses import fine_tuning
from app.database import make_engine, make_sessions, reading, unit_of_work
from app.jobs.documents import job_document, proposal_document
from app.jobs.history import JobHistory
from app.jobs.queue import JobQueue
from app.jobs.records import NewJob
from app.jobs.repository import JobRepository
from app.jobs.resume import load_progress
from app.jobs.schemas import BudgetIn
from app.jobs.service import JobService
from app.models.records import NewModel
from app.models.repository import ModelRepository
from app.records import Caller
from app.settings import Settings
from app.storage import Storage, StorageFull
from app.tables import JobRow, ModelRow
from app.targets.lookup import LookupRepository
from app.tasks.queue import TaskQueue
from tests.databases import DATABASES
from tests.toy_search import FormulaMeter
from tests.trained import trained_pt2
from workers import adaptation, figures, metering, recording
from workers.adaptation import run_job
from workers.housekeeping import Housekeeping
from workers.progress import read_checkpoint
from workers.service import Service
from workers.tasks import run_task

pytestmark = pytest.mark.databases("sqlite")  # those that show every write of a worker run on both
on_both = pytest.mark.databases(*DATABASES)

ANN = Caller(id="ann")
QUICK = {
    "preset": "quick",
    "short_term_steps": 3,
    "long_term_epochs": 2,
    "executor": "serial",
    "round_channels_to": 8,
    "schedule": {"initial": 0.15, "decay": 1.0},
}


@pytest.fixture(name="service")
def _service(fresh_database_url: str, tmp_path: Path):
    settings = Settings(data_dir=tmp_path, database_url=fresh_database_url)
    engine = make_engine(settings.database_url)
    storage = Storage(settings.storage_url)
    yield Service(
        sessions=make_sessions(engine, storage),
        storage=storage,
        settings=settings,
        lock_directory=tmp_path / "lock",
        worker_id="test",
    )
    engine.dispose()


@pytest.fixture(name="model_id")
def _model_id(service: Service, tmp_path: Path) -> str:
    """An uploaded network that a worker has checked."""
    path = tmp_path / "net.pt2"
    path.write_bytes(trained_pt2())
    network = read_network(path)
    blob = service.storage.put(write_safetensors(network))
    figures = costs(network.graph)
    new = NewModel(
        name="small",
        format="pt2",
        architecture=None,
        sha256=blob.sha256,
        bytes=blob.bytes,
        graph=network.graph,
        class_count=infer_shapes(network.graph)[network.graph.output][1],
        classes=None,
        normalization=default_normalization(1),
        params=figures.params,
        macs=figures.macs,
        memory_bytes=figures.memory_bytes,
        by_kind=shares_by_kind(network.graph),
    )
    with unit_of_work(service.sessions) as session:
        model = ModelRepository(session).add_model(ANN, new, blob)
        TaskQueue(session).enqueue_task("ann", "model-check", model.id, {"model": model.id})
    with unit_of_work(service.sessions) as session:
        task = TaskQueue(session).claim_next_task("test", lease_s=30)
    assert task is not None
    run_task(task, service, shutdown=lambda: False)
    return model.id


def submit(
    service: Service, model_id: str, budget: dict[str, object], continues: str | None = None, **settings: object
) -> str:
    new = NewJob(
        name=None,
        model_id=model_id,
        dataset_id="digits",
        target_id="local",
        budget=budget,
        settings=settings_to_document(effective_settings(QUICK | settings)),
        continues=continues,
    )
    with unit_of_work(service.sessions) as session:
        return JobRepository(session).add_job(ANN, new).id


def work(service: Service, shutdown: Callable[[], bool] = lambda: False) -> None:
    """Claims the oldest job and works on it until it ends or is let go."""
    with unit_of_work(service.sessions) as session:
        claimed = JobQueue(session).claim_next_job("test", lease_s=30)
    assert claimed is not None
    run_job(claimed, service, shutdown)


def job_of(service: Service, job_id: str):
    with reading(service.sessions) as session:
        return JobRepository(session).get_job(ANN, job_id)


def final_sha256(service: Service, job_id: str) -> str:
    with reading(service.sessions) as session:
        checkpoint = JobHistory(session).find_checkpoint(ANN, job_id, "final")
    assert checkpoint is not None
    return next(file.sha256 for file in checkpoint.files if file.format == "safetensors")


def test_a_checked_model_is_ready_with_its_groups(service, model_id):
    with reading(service.sessions) as session:
        model = ModelRepository(session).get_model(ANN, model_id)
    assert model.state == "ready"
    assert {group.id: group.prunable for group in model.groups or ()}["head"] is False


@on_both
def test_a_job_is_recorded_to_its_end(service, model_id):
    job_id = submit(service, model_id, {"macs": "60%"})
    work(service)
    job = job_of(service, job_id)
    assert (job.state, job.error, job.phase) == ("succeeded", None, None)
    assert job.result.macs <= 0.6 * job.original.macs
    assert job.result.latency_ms.measured is not None
    assert job.progress.fraction == 1.0
    with reading(service.sessions) as session:
        record = load_progress(session, job_id)
    assert record.finished
    assert all(iteration.picked and iteration.after and iteration.control for iteration in record.finished)


def test_a_job_that_runs_too_long_fails_by_name_keeps_what_it_found_and_can_be_extended(service, model_id, monkeypatch):
    class Aging(recording.Recording):
        def write(self, event):
            super().write(event)
            if isinstance(event, IterationDone):  # as if its earlier workers had been at it for long
                with unit_of_work(service.sessions) as session:
                    session.execute(update(JobRow).values(ran_s=5000.0))

    monkeypatch.setattr(adaptation, "Recording", Aging)
    limited = replace(service, settings=service.settings.model_copy(update={"max_job_s": 4000, "lease_s": 1.0}))
    job_id = submit(service, model_id, {"macs": "60%"}, long_term_epochs=1000)
    work(limited)
    job = job_of(service, job_id)
    assert job.state == "failed"
    assert job.error["type"] == "urn:netadapt:problem:job-time-exceeded"
    assert "4000 s" in job.error["detail"]
    with reading(service.sessions) as session:
        kept = JobHistory(session).list_checkpoints(ANN, job_id, after=0, limit=10).items
    assert [checkpoint.checkpoint for checkpoint in kept][:2] == ["0", "1"]
    assert JobService(service.sessions).extend(ANN, job_id, BudgetIn(macs="60%")).continues == job_id


class Interrupted(Stopped):
    """Stands for a worker that is gone: nothing more is written."""


def interrupt_after(monkeypatch, kind: type, count: int) -> None:
    """The `count`-th event of `kind` is recorded, and then the worker is gone."""

    class Interrupting(recording.Recording):
        seen = 0

        def write(self, event):
            super().write(event)
            self.seen += isinstance(event, kind)
            if self.seen == count and isinstance(event, kind):
                raise Interrupted("the worker is gone")

    monkeypatch.setattr(adaptation, "Recording", Interrupting)


def run_out_of_lease(service: Service) -> None:
    with unit_of_work(service.sessions) as session:
        session.execute(text("UPDATE jobs SET lease_expires_at = '2000-01-01 00:00:00.000000'"))


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        (Measured, 1),
        (ControlEvaluated, 1),
        (ProposalEvaluated, 2),
        (IterationDone, 1),
        (ControlEvaluated, 2),
        (EpochDone, 1),
    ],
)
def test_a_job_cut_off_anywhere_ends_with_the_same_bytes(service, model_id, monkeypatch, kind, count):
    undisturbed = submit(service, model_id, {"macs": "60%"})
    work(service)
    cut_off = submit(service, model_id, {"macs": "60%"})
    with monkeypatch.context() as patch:
        interrupt_after(patch, kind, count)
        work(service)
    assert job_of(service, cut_off).state == "running"
    run_out_of_lease(service)
    work(service)
    assert job_of(service, cut_off).state == "succeeded"
    assert final_sha256(service, cut_off) == final_sha256(service, undisturbed)


@pytest.mark.parametrize("importance", ["taylor", "random"])
def test_a_job_that_looks_at_data_or_draws_ends_with_the_same_bytes_after_a_cut(
    service, model_id, monkeypatch, importance
):
    """Batches and draws are those of (seed, iteration): what was computed from them is computed again, to the bit."""
    chosen = {"importance": importance, "long_term_epochs": 1}
    undisturbed = submit(service, model_id, {"macs": "70%"}, **chosen)
    work(service)
    cut_off = submit(service, model_id, {"macs": "70%"}, **chosen)
    with monkeypatch.context() as patch:
        interrupt_after(patch, ProposalEvaluated, 2)
        work(service)
    run_out_of_lease(service)
    work(service)
    assert job_of(service, cut_off).state == "succeeded"
    assert final_sha256(service, cut_off) == final_sha256(service, undisturbed)


def test_a_job_that_learns_from_the_original_ends_with_the_same_bytes_after_a_cut_on_any_executor(
    service, model_id, monkeypatch
):
    chosen = {"distill": True, "pick": "mnasnet-reward", "long_term_epochs": 2}
    undisturbed = submit(service, model_id, {"macs": "75%"}, **chosen, executor="processes")
    work(service)
    cut_off = submit(service, model_id, {"macs": "75%"}, **chosen)
    with monkeypatch.context() as patch:
        interrupt_after(patch, EpochDone, 1)
        work(service)
    run_out_of_lease(service)
    work(service)
    assert job_of(service, cut_off).state == "succeeded"
    assert final_sha256(service, cut_off) == final_sha256(service, undisturbed)


def test_a_job_that_trains_from_scratch_at_its_end_is_recorded_like_a_fine_tuned_one(service, model_id, monkeypatch):
    undisturbed = submit(service, model_id, {"macs": "75%"}, final="from-scratch")
    work(service)
    job = job_of(service, undisturbed)
    assert (job.state, job.error) == ("succeeded", None)
    assert job.result.accuracy is not None
    assert job.result.latency_ms.measured is not None
    with reading(service.sessions) as session:
        events = JobHistory(session).list_events(ANN, undisturbed, after=0, limit=500)[1].items
        checkpoints = JobHistory(session).list_checkpoints(ANN, undisturbed, after=0, limit=50).items
    told = [event.data["text"] for event in events if event.event == "message"]
    assert [text for text in told if text.startswith("epoch ")][-1].startswith("epoch 2 of 2: hold-out accuracy")
    assert checkpoints[-1].kind == "final"
    cut_off = submit(service, model_id, {"macs": "75%"}, final="from-scratch")
    with monkeypatch.context() as patch:
        interrupt_after(patch, EpochDone, 1)
        work(service)
    run_out_of_lease(service)
    work(service)
    assert final_sha256(service, cut_off) == final_sha256(service, undisturbed)


def test_proposals_are_told_with_their_standard_error_and_the_size_of_the_holdout(service, model_id):
    job_id = submit(service, model_id, {"macs": "75%"})
    work(service)
    with reading(service.sessions) as session:
        history = JobHistory(session)
        proposals = history.list_proposals(ANN, job_id, after=0, limit=500).items
        events = history.list_events(ANN, job_id, after=0, limit=500)[1].items
        images = load_progress(session, job_id).finished[0].holdout["images"]
    documents = [proposal_document(proposal) for proposal in proposals]
    assert {document["holdout_images"] for document in documents} == {images}
    for document in documents:
        error = document["accuracy_standard_error"]
        assert (error is None) == (document["accuracy"] is None)
        if error is not None:
            assert error >= 1 / images
    told = [event.data for event in events if event.event == "proposal"]
    assert {each["id"]: each["accuracy_standard_error"] for each in told} == {
        each["id"]: each["accuracy_standard_error"] for each in documents
    }


@on_both
def test_a_job_that_continues_another_starts_from_its_last_iteration(service, model_id):
    first = submit(service, model_id, {"macs": "75%"})
    work(service)
    second = submit(service, model_id, {"macs": "55%"}, continues=first)
    work(service)
    with reading(service.sessions) as session:
        before, after = load_progress(session, first), load_progress(session, second)
    assert job_of(service, second).state == "succeeded"
    assert after.finished[0].before == before.finished[-1].after


def test_a_worker_that_shuts_down_gives_the_job_back_and_it_goes_on(service, model_id):
    job_id = submit(service, model_id, {"macs": "60%"})
    work(service, shutdown=lambda: True)
    assert job_of(service, job_id).state == "queued"
    work(service)
    assert job_of(service, job_id).state == "succeeded"


def test_an_unreachable_budget_fails_before_training_with_the_smallest_figure(service, model_id):
    job_id = submit(service, model_id, {"macs": 10.0})
    work(service)
    job = job_of(service, job_id)
    assert job.state == "failed"
    assert job.error["type"].endswith("budget-unreachable")
    with reading(service.sessions) as session:
        assert load_progress(session, job_id).open_iteration is None


def test_memory_is_a_budget_and_the_peak_is_reported(service, model_id):
    job_id = submit(service, model_id, {"memory_bytes": "80%"})
    work(service)
    job = job_of(service, job_id)
    assert (job.state, job.error) == ("succeeded", None)
    assert job.result.memory_bytes <= 0.8 * job.original.memory_bytes
    assert job.result.peak_memory_bytes < job.result.memory_bytes
    with reading(service.sessions) as session:
        checkpoints = JobHistory(session).list_checkpoints(ANN, job_id, after=0, limit=50).items
    assert all(checkpoint.figures.peak_memory_bytes for checkpoint in checkpoints)
    network = read_checkpoint(checkpoints[-1], service.storage)
    assert costs(network.graph).memory_bytes == job.result.memory_bytes


class Clocked(FormulaMeter):
    """The service's meter of a device that a formula stands for; `slow` measures over the budget whatever is cut."""

    def __init__(self, slow: Callable[[str], bool]) -> None:
        super().__init__(bias=0.0)
        self._slow = slow

    def write(self, network):
        return {}

    def measure(self, key, network, effort="usual"):
        latency = super().measure(key, network)
        return replace(latency, ms=9.0, low=8.9, high=9.1) if self._slow(key) else latency


def on_a_clock(monkeypatch, slow: Callable[[str], bool], staircase=None) -> Clocked:
    meter = Clocked(slow)
    monkeypatch.setattr(adaptation, "meter_of", lambda *_: nullcontext((lambda images: meter, staircase)))
    return meter


def test_a_result_over_the_budget_after_the_last_step_fails_with_every_checkpoint_kept(service, model_id, monkeypatch):
    on_a_clock(monkeypatch, lambda key: key.startswith("final"))
    job_id = submit(service, model_id, {"latency_ms": "90%"}, include=["last.*"], round_channels_to=16)
    work(service)
    job = job_of(service, job_id)
    assert (job.state, job.error["type"]) == ("failed", "urn:netadapt:problem:budget-not-met")
    assert "9 (measured, its interval reaches up to 9.1) reached" in job.error["detail"]
    assert f"{figure_of(job.limits['latency_ms'])} asked" in job.error["detail"]
    with reading(service.sessions) as session:
        checkpoints = JobHistory(session).list_checkpoints(ANN, job_id, after=0, limit=50).items
        finished = load_progress(session, job_id).finished
    assert [each.checkpoint for each in checkpoints] == ["0", *(str(each.iteration) for each in finished)]
    for checkpoint in checkpoints:
        assert {file.format for file in checkpoint.files} == {"onnx", "pt2", "safetensors"}
        assert all(service.storage.read(file.sha256) for file in checkpoint.files)


def test_a_hopeless_latency_fails_before_training_with_the_smallest_measured_figure(service, model_id, monkeypatch):
    on_a_clock(monkeypatch, lambda key: False)
    job_id = submit(service, model_id, {"latency_ms": 1e-6})
    work(service)
    job = job_of(service, job_id)
    assert (job.state, job.error["type"]) == ("failed", "urn:netadapt:problem:budget-unreachable")
    with reading(service.sessions) as session:
        record = load_progress(session, job_id)
    assert f"{figure_of(record.measurements['smallest']['ms'])} (measured" in job.error["detail"]
    assert (record.open_iteration, record.epoch_state) == (None, None)


@on_both
def test_a_step_that_was_found_is_recorded_shown_and_not_looked_for_again(service, model_id, monkeypatch):
    found = Staircase(step=4, reason="counts are rounded to 4", curve={96: Ratio(ratio=0.5, low=0.4, high=0.6)})
    asked: list[str] = []

    def find() -> Staircase:
        asked.append("the device")
        return found

    on_a_clock(monkeypatch, lambda key: False, find)
    job_id = submit(service, model_id, {"latency_ms": "85%"}, round_channels_to="auto")
    with monkeypatch.context() as patch:
        interrupt_after(patch, ControlEvaluated, 1)
        work(service)
    run_out_of_lease(service)
    work(service)
    job = job_of(service, job_id)
    assert (job.state, job.effective, asked) == ("succeeded", {"round_channels_to": 4}, ["the device"])
    assert job_document(job)["settings"]["round_channels_to"] == "auto"
    with reading(service.sessions) as session:
        _, events = JobHistory(session).list_events(ANN, job_id, after=0, limit=500)
    (told,) = [event.data for event in events.items if "curve" in event.data]
    assert (told["round_channels_to"], told["curve"]["96"]["ratio"]) == (4, 0.5)


def test_figures_never_call_a_prediction_measured():
    predicted = Latency(ms=2.0, low=2.0, high=2.0, original_ms=3.0, predicted_ms=2.0, measured=False)
    assert figures.latency_figures(predicted).measured is None
    assert figures.latency_figures(replace(predicted, measured=True)).measured == 2.0


@on_both
def test_housekeeping_removes_what_no_row_needs_once_an_hour(service, model_id):
    now = 0.0
    housekeeping = Housekeeping(service, clock=lambda: now)
    orphan = service.storage.put(b"a file whose row was never committed")
    make_old(service)
    housekeeping.when_idle()
    assert not service.storage.exists(orphan.sha256)
    with reading(service.sessions) as session:
        assert service.storage.exists(ModelRepository(session).get_model(ANN, model_id).weights_sha256)
    again = service.storage.put(b"a file whose row was never committed")
    make_old(service)
    housekeeping.when_idle()
    assert service.storage.exists(again.sha256)
    now = 3600.0
    housekeeping.when_idle()
    assert not service.storage.exists(again.sha256)


def test_a_storage_that_is_away_makes_a_job_wait_and_costs_it_nothing(service, model_id, monkeypatch):
    undisturbed = submit(service, model_id, {"macs": "60%"})
    work(service)
    waiting = submit(service, model_id, {"macs": "60%"})
    puts, put = [], service.storage.put

    def put_or_fail(content):
        puts.append(content)
        if len(puts) in {2, 5}:
            raise StorageFull
        return put(content)

    monkeypatch.setattr(service.storage, "put", put_or_fail)
    for _ in range(2):
        with pytest.raises(StorageFull):
            work(service)
        job = job_of(service, waiting)
        assert (job.state, job.attempts, job.error) == ("queued", 0, None)
    work(service)
    assert job_of(service, waiting).state == "succeeded"
    assert final_sha256(service, waiting) == final_sha256(service, undisturbed)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_job_for_a_gpu_that_is_not_there_fails_before_training_by_name(service, model_id):
    job_id = submit(service, model_id, {"macs": "60%"}, device="cuda")
    work(service)
    job = job_of(service, job_id)
    assert (job.state, job.error["type"]) == ("failed", "urn:netadapt:problem:device-absent")
    assert "ask for cpu" in job.error["detail"]
    assert job.original is None


def test_a_proposal_that_ran_out_of_memory_says_so_and_a_cut_off_job_trains_it_again_just_so(
    service, model_id, monkeypatch
):
    """Only the first attempts meet the shortage: what is trained again finds memory, and must not use it."""
    short = Shortage(candidates=4)  # the control and all proposals of the first iteration
    monkeypatch.setattr(evaluate, "fine_tuning", short.of)
    undisturbed = submit(service, model_id, {"macs": "60%"})
    work(service)
    with reading(service.sessions) as session:
        events = JobHistory(session).list_events(ANN, undisturbed, after=0, limit=500)[1].items
    texts = [event.data["text"] for event in events if event.event == "message"]
    told = [text for text in texts if "ran out of memory with batches of 64: trained with 32 images at once" in text]
    assert len(told) == 4
    short.left = 4
    cut_off = submit(service, model_id, {"macs": "60%"})
    with monkeypatch.context() as patch:
        interrupt_after(patch, ProposalEvaluated, 2)
        work(service)
    run_out_of_lease(service)
    work(service)
    assert final_sha256(service, cut_off) == final_sha256(service, undisturbed)


class Shortage:
    """Memory for half a batch only, while the first so many candidates of it are trained."""

    def __init__(self, candidates: int) -> None:
        self.left = candidates

    def of(self, module, teacher, settings):
        usual, is_short = fine_tuning(module, teacher, settings), self.left > 0

        def loss(images, labels):
            if is_short and len(images) > settings.batch_size // 2:
                self.left -= 1
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
            return usual(images, labels)

        return loss


def test_a_job_whose_network_is_gone_for_good_fails_and_says_so(service, model_id):
    job_id = submit(service, model_id, {"macs": "60%"})
    with reading(service.sessions) as session:
        weights = ModelRepository(session).get_model(ANN, model_id).weights_sha256
    service.storage.delete(weights)
    work(service)
    job = job_of(service, job_id)
    assert (job.state, job.error["type"]) == ("failed", "urn:netadapt:problem:file-missing")


@on_both
def test_housekeeping_lets_go_of_old_jobs_and_of_what_killed_processes_left(service, model_id):
    job_id = submit(service, model_id, {"macs": "60%"})
    with unit_of_work(service.sessions) as session:
        JobRepository(session).cancel_job(ANN, job_id)
        session.execute(text("UPDATE jobs SET finished_at = '2000-01-01 00:00:00.000000'"))
    left_behind = service.settings.scratch_dir / "long-killed"
    left_behind.mkdir(parents=True)
    left_behind.with_suffix(".lock").touch()
    settings = service.settings.model_copy(update={"keep_jobs_days": 1, "keep_unused_days": 1})
    housekeeping = Housekeeping(replace(service, settings=settings), clock=lambda: 0.0)
    housekeeping.when_idle()  # as long as old things go, the rest of the housework waits
    assert left_behind.exists()
    housekeeping.when_idle()
    assert not left_behind.exists()
    with reading(service.sessions) as session:
        assert JobRepository(session).find_job(ANN, job_id) is None
        assert ModelRepository(session).find_model(ANN, model_id) is not None  # new, though no job uses it


def make_old(service: Service) -> None:
    for path in Path(service.settings.storage_url).rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))


def test_a_network_that_does_not_classify_is_refused_before_anything_is_measured(service, model_id):
    job_id = submit(service, model_id, {"latency_ms": "80%"})
    with unit_of_work(service.sessions) as session:  # as if it had been trained with other pixels
        off = {"mean": [30.0], "std": [0.01]}
        session.execute(update(ModelRow).where(ModelRow.id == model_id).values(normalization=off))
    work(service)
    assert job_of(service, job_id).error["type"].endswith("original-accuracy-too-low")
    with reading(service.sessions) as session:
        assert LookupRepository(session).find_table("local") is None
        assert load_progress(session, job_id).measurements == {}


class Throttling(LocalDevice):
    """Ten times slower from its third reading on."""

    readings = 0

    def read(self, *arguments):
        found = super().read(*arguments)
        self.readings += 1
        if self.readings < 3:
            return found
        slow = {
            name: tuple(10 * (ms + COLD_MS) for ms in getattr(found, name)) for name in ("candidate_ms", "reference_ms")
        }
        return replace(found, **slow)


def test_a_device_that_turns_ten_times_slower_is_told_of_in_the_job(service, model_id, monkeypatch):
    device = Throttling(RuntimeChoice(), MachineLock(service.lock_directory))
    monkeypatch.setattr(metering, "device_of", lambda *_, **__: device)
    job_id = submit(service, model_id, {"latency_ms": "1%"})  # out of reach: it ends once the smallest was measured
    work(service)
    with reading(service.sessions) as session:
        events = JobHistory(session).list_events(ANN, job_id, after=0, limit=1000)[1].items
    told = [event.data["text"] for event in events if event.event == "message" and "slow" in event.data["text"]]
    assert told
    assert told[0].startswith("this machine has become slow")
