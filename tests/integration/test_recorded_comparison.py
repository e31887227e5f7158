"""What a worker records of a comparison and of a second look is all that another one needs to go on: a search without
training, on a real database and storage, cut off after each of its events."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from adapt.budget import Share
from adapt.checkpoint import write_safetensors
from adapt.events import EpochDone, Event, Finished, ProposalJudged, ResultFound, UniformChosen
from adapt.executors.recorded import RecordedExecutor
from adapt.loop import adapt_network
from adapt.presets import effective_settings, settings_to_document
from app.database import make_engine, make_sessions, reading, unit_of_work
from app.jobs.documents import job_document
from app.jobs.history import JobHistory
from app.jobs.queue import JobQueue
from app.jobs.records import CheckpointFile, NewJob
from app.jobs.repository import JobRepository
from app.jobs.resume import load_progress
from app.records import Caller
from app.settings import Settings
from app.storage import Storage
from tests.rows import add_model
from tests.toy_search import StandInExecutor, StandInTrainer, chain_groups, chain_network, toy_job
from workers import recording
from workers.progress import read_outcomes, read_progress
from workers.recording import Recording

ANN = Caller(id="ann")
NETWORK = chain_network()
GROUPS = chain_groups(NETWORK)
SETTINGS = effective_settings(
    {"compare": "uniform", "round_channels_to": 4, "min_channels": 4, "long_term_epochs": 2, "short_term_steps": 7}
)
pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture(name="place")
def _place(fresh_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    settings = Settings(data_dir=tmp_path, database_url=fresh_database_url)
    engine = make_engine(settings.database_url)
    storage = Storage(settings.storage_url)
    sessions = make_sessions(engine, storage)

    def only_safetensors(network: Any, _measured: Any, to: Storage) -> list[CheckpointFile]:
        blob = to.put(write_safetensors(network))
        return [CheckpointFile(format="safetensors", bytes=blob.bytes, sha256=blob.sha256)]

    monkeypatch.setattr(recording, "store_files", only_safetensors)
    with unit_of_work(sessions) as session:
        model = add_model(session, "mdl_toy", owner="ann")
    yield SimpleNamespace(sessions=sessions, storage=storage, model=model)
    engine.dispose()


def new_job(place: SimpleNamespace) -> str:
    new = NewJob(
        name=None,
        model_id=place.model,
        dataset_id="digits",
        target_id="local",
        budget={"macs": "50%"},
        settings=settings_to_document(SETTINGS),
    )
    with unit_of_work(place.sessions) as session:
        return JobRepository(session).add_job(ANN, new).id


class CutOff(Exception):
    """The worker is gone."""


def work(place: SimpleNamespace, job_id: str, *, until: tuple[type, int] | None = None) -> list[Event]:
    """Records a search up to that event of that kind, or to its end."""
    with unit_of_work(place.sessions) as session:
        session.execute(text("UPDATE jobs SET lease_expires_at = '2000-01-01 00:00:00.000000'"))
    with unit_of_work(place.sessions) as session:
        claimed = JobQueue(session).claim_next_job("test", lease_s=60)
    assert claimed is not None
    assert claimed.id == job_id
    with reading(place.sessions) as session:
        record = load_progress(session, job_id)
        job = JobRepository(session).get_job(ANN, job_id)
    target, model = SimpleNamespace(id="local"), SimpleNamespace(id=place.model)
    material = SimpleNamespace(network=NETWORK, groups=GROUPS, target=target, model=model, job=job, record=record)
    writing = Recording(claimed, place.sessions, place.storage, material)  # type: ignore[arg-type]  # what it reads
    executor = RecordedExecutor(StandInExecutor(NETWORK, GROUPS), read_outcomes(record))
    search = toy_job(
        {"macs": Share(0.5)}, SETTINGS, executor=executor, trainer=StandInTrainer(further_images=300), original=NETWORK
    )
    events: list[Event] = []
    for event in adapt_network(search, read_progress(record, place.storage)):
        writing.write(event)
        events.append(event)
        if until is not None and sum(isinstance(each, until[0]) for each in events) == until[1]:
            raise CutOff
    return events


def outcome(place: SimpleNamespace, job_id: str) -> tuple[dict[str, Any], dict[str, str], list[Any]]:
    """The job, the sha256 of its checkpoints, and of its proposals the scores on more images and the reasons."""
    with reading(place.sessions) as session:
        job = job_document(JobRepository(session).get_job(ANN, job_id))
        checkpoints = JobHistory(session).all_checkpoints(ANN, job_id)
        proposals = JobHistory(session).list_proposals(ANN, job_id, after=0, limit=500).items
    files = {each.checkpoint: each.files[0].sha256 for each in checkpoints}
    judged = sorted((each.iteration, each.group, str(each.judged_again), each.reason) for each in proposals)
    return job, files, judged


@pytest.mark.parametrize(
    "until",
    [
        (ProposalJudged, 1),
        (ProposalJudged, 2),
        (EpochDone, 1),
        (ResultFound, 1),
        (UniformChosen, 1),
        (EpochDone, 3),
        (EpochDone, 6),
    ],
)
def test_a_job_cut_off_anywhere_in_them_ends_with_the_same_files_figures_and_reasons(
    place: SimpleNamespace, until: tuple[type, int]
) -> None:
    undisturbed = new_job(place)
    whole = work(place, undisturbed)
    assert isinstance(whole[-1], Finished)
    assert sum(isinstance(event, ProposalJudged) for event in whole) >= 2
    cut_off = new_job(place)
    with suppress(CutOff):
        work(place, cut_off, until=until)
    assert outcome(place, cut_off)[0]["state"] == "running"
    work(place, cut_off)
    (job, files, judged), (same_job, same_files, same_judged) = outcome(place, cut_off), outcome(place, undisturbed)
    assert job["state"] == "succeeded"
    assert judged == same_judged
    assert files == same_files
    assert {"0", "1", "final", "uniform"} <= set(files)
    for figures in ("result", "uniform"):
        assert job[figures] == same_job[figures]
    assert job["uniform"]["macs"] <= job["result"]["macs"]


def test_a_result_stands_while_what_it_is_compared_with_is_trained(place: SimpleNamespace) -> None:
    job_id = new_job(place)
    with suppress(CutOff):
        work(place, job_id, until=(UniformChosen, 1))
    job, files, _ = outcome(place, job_id)
    assert (job["state"], job["uniform"]) == ("running", None)
    assert job["result"]["checkpoint"] == "final"
    assert "final" in files
