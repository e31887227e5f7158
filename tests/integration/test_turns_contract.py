"""Whose job is next, and how many an owner may have, on every database that we claim to run on."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from app.database import Sessions, database_now, make_engine, make_sessions, reading, unit_of_work
from app.jobs.errors import TooManyJobs
from app.jobs.queue import JobQueue
from app.jobs.recorder import JobRecorder
from app.jobs.records import ClaimedJob, NewJob
from app.jobs.repository import JobRepository
from app.leases import LeaseLost
from app.records import Caller
from app.tables import JobRow
from app.tasks.queue import TaskQueue
from tests.databases import DATABASES, migrated_sessions
from tests.rows import add_dataset_and_target, add_model

NEW = NewJob(name=None, model_id="mdl_a", dataset_id="dst_a", target_id="tgt_a", budget={"macs": "50%"}, settings={})
WORKERS = 8


@pytest.fixture(params=DATABASES)
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sessions]:
    with migrated_sessions(request.param, tmp_path) as made:
        with unit_of_work(made) as session:
            add_dataset_and_target(session)
            add_model(session)
        yield made


def submit(sessions: Sessions, owner: str, *, most_open: int | None = None) -> str:
    with unit_of_work(sessions) as session:
        return JobRepository(session).add_job(Caller(id=owner), NEW, most_open=most_open).id


def claim(sessions: Sessions, *, most_running: int | None = None) -> ClaimedJob | None:
    with unit_of_work(sessions) as session:
        return JobQueue(session).claim_next_job("w", lease_s=60, most_running=most_running)


def claimed_owners(sessions: Sessions, count: int, **limits: int) -> str:
    """The first letters of the owners of the next jobs, "-" where there is none."""
    claims = [claim(sessions, **limits) for _ in range(count)]
    return "".join("-" if claimed is None else claimed.owner[0] for claimed in claims)


def finish(sessions: Sessions, claimed: ClaimedJob) -> None:
    with unit_of_work(sessions) as session:
        JobRecorder(session).finish(claimed, "cancelled")


def set_lease(sessions: Sessions, job_id: str, lasts: timedelta) -> None:
    with unit_of_work(sessions) as session:
        until = database_now(session) + lasts
        session.execute(update(JobRow).where(JobRow.id == job_id).values(lease_expires_at=until))


def test_an_owner_with_many_jobs_does_not_keep_the_others_waiting(sessions: Sessions) -> None:
    for owner in ("ann", "ann", "ann", "ann", "bob", "cid", "bob"):
        submit(sessions, owner)
    assert claimed_owners(sessions, 8) == "abcabaa-"


def test_a_single_worker_serves_owners_in_turn(sessions: Sessions) -> None:
    for owner in ("ann", "ann", "ann", "bob", "bob", "bob"):
        submit(sessions, owner)
    served = ""
    while (claimed := claim(sessions)) is not None:
        served += claimed.owner[0]
        finish(sessions, claimed)
    assert served == "ababab"


def test_whoever_was_never_served_comes_before_who_was(sessions: Sessions) -> None:
    submit(sessions, "ann")
    first = claim(sessions)
    assert first is not None
    finish(sessions, first)
    for owner in ("ann", "bob"):
        submit(sessions, owner)
    assert claimed_owners(sessions, 2) == "ba"


def test_an_owners_own_jobs_come_in_their_order(sessions: Sessions) -> None:
    submitted = [submit(sessions, "ann") for _ in range(3)]
    claims = [claim(sessions) for _ in range(3)]
    assert [claimed.id for claimed in claims if claimed is not None] == submitted


def test_what_a_worker_left_behind_goes_on_before_anything_is_begun(sessions: Sessions) -> None:
    submit(sessions, "ann")
    left = claim(sessions)
    assert left is not None
    submit(sessions, "bob")
    set_lease(sessions, left.id, timedelta(seconds=-1))
    again = claim(sessions)
    assert again is not None
    assert (again.id, again.resumed) == (left.id, True)


def test_a_lease_from_before_the_clock_was_put_back_is_no_lease(sessions: Sessions) -> None:
    submit(sessions, "ann")
    held = claim(sessions)
    assert held is not None
    set_lease(sessions, held.id, timedelta(days=1))
    with reading(sessions) as session:
        assert JobQueue(session).has_work()
    again = claim(sessions)
    assert again is not None
    assert again.id == held.id
    with pytest.raises(LeaseLost), unit_of_work(sessions) as session:
        JobQueue(session).renew_lease(held, 60)


def test_an_owner_has_at_most_so_many_jobs_running(sessions: Sessions) -> None:
    for owner in ("ann", "ann", "ann", "bob"):
        submit(sessions, owner)
    assert claimed_owners(sessions, 3, most_running=1) == "ab-"
    assert claimed_owners(sessions, 2, most_running=2) == "a-"


def test_many_workers_at_once_keep_to_the_limit_of_each_owner(sessions: Sessions) -> None:
    owners = ("ann", "bob", "cid")
    for owner in owners * 5:
        submit(sessions, owner)
    with ThreadPoolExecutor(WORKERS) as pool:
        claims = list(pool.map(lambda _: claim(sessions, most_running=2), range(3 * WORKERS)))
    claimed = [each.owner for each in claims if each is not None]
    assert sorted(claimed) == sorted(owners * 2)


def test_a_look_without_a_lock_says_whether_a_claim_is_worth_it(sessions: Sessions) -> None:
    def has_work() -> bool:
        with reading(sessions) as session:
            return JobQueue(session).has_work()

    assert not has_work()
    submit(sessions, "ann")
    assert has_work()
    claimed = claim(sessions)
    assert claimed is not None
    assert not has_work()
    set_lease(sessions, claimed.id, timedelta(seconds=-1))
    assert has_work()


def test_many_requests_at_once_keep_to_the_limit_of_open_jobs(sessions: Sessions) -> None:
    def post(_: int) -> bool:
        try:
            submit(sessions, "ann", most_open=5)
        except TooManyJobs:
            return False
        return True

    with ThreadPoolExecutor(WORKERS) as pool:
        assert sum(pool.map(post, range(3 * WORKERS))) == 5
    with pytest.raises(TooManyJobs, match="you have 5 jobs"):
        submit(sessions, "ann", most_open=5)
    submit(sessions, "bob", most_open=1)


def test_a_job_that_is_over_makes_room_and_one_that_is_paused_does_not(sessions: Sessions) -> None:
    first, second = (submit(sessions, "ann", most_open=2) for _ in range(2))
    with unit_of_work(sessions) as session:
        JobRepository(session).pause_job(Caller(id="ann"), first)
    with pytest.raises(TooManyJobs):
        submit(sessions, "ann", most_open=2)
    with unit_of_work(sessions) as session:
        JobRepository(session).cancel_job(Caller(id="ann"), second)
    submit(sessions, "ann", most_open=2)


def claim_all(url: str) -> list[str]:
    """What one process gets, of jobs and of tasks, while others claim too."""
    engine: Engine = make_engine(url)
    sessions, claimed, idle = make_sessions(engine), [], 0
    while idle < 5:
        with unit_of_work(sessions) as session:
            job = JobQueue(session).claim_next_job("w", lease_s=60)
        with unit_of_work(sessions) as session:
            task = TaskQueue(session).claim_next_task("w", lease_s=60)
        claimed += [each.id for each in (job, task) if each is not None]
        idle = idle + 1 if job is None and task is None else 0
    engine.dispose()
    return claimed


def test_several_processes_claim_each_job_and_each_task_once(sessions: Sessions) -> None:
    work = [submit(sessions, owner) for owner in ("ann", "bob", "cid") * 10]
    with unit_of_work(sessions) as session:
        work += [TaskQueue(session).enqueue_task("ann", "model-check", str(n), {}).id for n in range(30)]
    url = sessions.kw["bind"].url.render_as_string(hide_password=False)
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        claimed = [each for found in pool.map(claim_all, [url] * 4) for each in found]
    assert sorted(claimed) == sorted(work)


def test_a_job_for_another_target_state_waits_without_holding_its_owners_place(sessions: Sessions) -> None:
    with unit_of_work(sessions) as session:
        add_model(session, "mdl_b", state="checking")
        JobRepository(session).add_job(Caller(id="ann"), replace(NEW, model_id="mdl_b"))
    submit(sessions, "bob")
    submit(sessions, "ann")
    assert claimed_owners(sessions, 3) == "ba-"


def test_a_worker_that_cannot_end_in_time_gives_back_what_it_holds_and_writes_nothing_more(sessions: Sessions) -> None:
    jobs = [submit(sessions, "ann") for _ in range(3)]
    held = [claim(sessions) for _ in range(2)]
    with unit_of_work(sessions) as session:
        JobRepository(session).cancel_job(Caller(id="ann"), jobs[1])
        TaskQueue(session).enqueue_task("ann", "model-check", "m", {})
        task = TaskQueue(session).claim_next_task("w", lease_s=60)
    with unit_of_work(sessions) as session:
        JobQueue(session).give_back("somebody else")
        JobQueue(session).give_back("w")
        TaskQueue(session).give_back("w")
    with reading(sessions) as session:
        states = [JobRepository(session).get_job(Caller(id="ann"), job).state for job in jobs]
        assert states == ["queued", "cancelled", "queued"]
    for claimed in held:
        assert claimed is not None
        with pytest.raises(LeaseLost):
            finish(sessions, claimed)
    assert task is not None
    with pytest.raises(LeaseLost), unit_of_work(sessions) as session:
        TaskQueue(session).finish_task(task)
    with unit_of_work(sessions) as session:
        again = TaskQueue(session).claim_next_task("w", lease_s=60)
        assert again is not None
        assert again.id == task.id
