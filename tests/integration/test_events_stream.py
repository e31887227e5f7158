"""A stream while nothing happens, by a clock that the test winds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable

import pytest

from app.database import unit_of_work
from app.jobs.events_stream import ASK_EVERY_S, COMMENT_EVERY_S, stream_events
from app.jobs.queue import JobQueue
from app.jobs.recorder import JobRecorder
from app.jobs.records import JobProgress, NewJob
from app.jobs.repository import JobRepository
from app.records import Caller
from tests.databases import DATABASES, migrated_sessions
from tests.rows import add_dataset_and_target, add_model

ANN = Caller(id="ann")


@pytest.fixture(params=DATABASES)
def sessions(request, tmp_path):
    with migrated_sessions(request.param, tmp_path) as sessions:
        yield sessions


def submit(sessions) -> str:
    new = NewJob(name=None, model_id="mdl_a", dataset_id="dst_a", target_id="tgt_a", budget={}, settings={})
    with unit_of_work(sessions) as session:
        add_dataset_and_target(session)
        add_model(session)
        return JobRepository(session).add_job(ANN, new).id


class Clock:
    """Each sleep lets a second go by, and the next step happen."""

    def __init__(self, *steps) -> None:
        self.now, self.sleeps, self._steps = 0.0, 0, list(steps)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, _seconds: float) -> None:
        self.now += 1.0
        self.sleeps += 1
        if self._steps and (step := self._steps.pop(0)) is not None:
            step()


def read(stream: Awaitable[AsyncIterator[bytes]]) -> list[str]:
    async def collect() -> list[str]:
        return [chunk.decode() async for chunk in await stream]

    return asyncio.run(collect())


def cancel(sessions, job_id: str) -> None:
    with unit_of_work(sessions) as session:
        JobRepository(session).cancel_job(ANN, job_id)


def test_a_silent_stream_comments_every_fifteen_seconds(sessions):
    job_id = submit(sessions)
    silence = [None] * int(2 * COMMENT_EVERY_S + 2)
    clock = Clock(*silence, lambda: cancel(sessions, job_id))
    chunks = read(stream_events(sessions, ANN, job_id, after=0, clock=clock, sleep=clock.sleep))
    assert [chunk.startswith(":") for chunk in chunks[2:-1]] == [True, True]
    assert '"state":"cancelled"' in chunks[-1]


def test_progress_has_no_id_and_comes_at_most_once_a_second(sessions):
    job_id = submit(sessions)
    with unit_of_work(sessions) as session:
        claimed = JobQueue(session).claim_next_job("w", lease_s=60)
    assert claimed is not None

    def progress(fraction: float):
        def write() -> None:
            with unit_of_work(sessions) as session:
                JobRecorder(session).set_progress(claimed, JobProgress(fraction=fraction))

        return write

    def finish() -> None:
        with unit_of_work(sessions) as session:
            JobRecorder(session).finish(claimed, "failed", {"detail": "x"})

    clock = Clock(progress(0.1), None, progress(0.2), finish)
    chunks = read(stream_events(sessions, ANN, job_id, after=0, clock=clock, sleep=clock.sleep))
    told = [chunk for chunk in chunks if "event: progress" in chunk]
    assert ['"fraction":0.1' in told[1], '"fraction":0.2' in told[2], len(told)] == [True, True, 3]
    assert not any("id: " in chunk for chunk in told)


def test_a_stream_ends_when_its_job_is_deleted(sessions):
    job_id = submit(sessions)

    def delete() -> None:
        with unit_of_work(sessions) as session:
            JobRepository(session).delete_job(ANN, job_id)

    clock = Clock(delete)
    read(stream_events(sessions, ANN, job_id, after=0, clock=clock, sleep=clock.sleep))
    assert clock.sleeps == 1


def test_a_stream_ends_soon_after_its_reader_was_shut_out(sessions):
    job_id, clock = submit(sessions), Clock()
    chunks = read(
        stream_events(sessions, ANN, job_id, after=0, allowed=lambda: clock.now < 12, clock=clock, sleep=clock.sleep)
    )
    assert clock.now == 12 + (-12 % ASK_EVERY_S)
    assert not any('"state":"cancelled"' in chunk for chunk in chunks)
