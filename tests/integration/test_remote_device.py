"""A worker's side of a device elsewhere, on every database: asked once, waited for, let go of when it stays away."""

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from adapt.errors import MeasurementFailed, Stopped
from adapt.latency.reading import Plan, Reading
from app.agent.holding import Holding
from app.agent.orders import OrderBook
from app.agent.presence import AgentRepository
from app.agent.records import Agent, ReadingOrder
from app.agent.service import AgentService
from app.blobs import BlobRepository
from app.database import database_now, reading, unit_of_work
from app.leases import LeaseLost
from app.records import Caller
from app.settings import Settings
from app.storage import Storage
from app.tables import TargetRow, TaskRow
from app.targets.presence import AWAY_S, is_present, row_is_present
from app.targets.repository import TargetRepository
from tests.databases import DATABASES, migrated_sessions
from tests.latency import CONDITIONS
from workers.remote_device import DeviceAway, RemoteDevice
from workers.service import Service

ANN = Caller(id="ann")
AGENT = Agent(name="phone-1", instance="a-random-one", renews=False, conditions=CONDITIONS)
READING = Reading(conditions=CONDITIONS, candidate_ms=(1.0, 1.2), reference_ms=(2.0, 2.2), runs=20)
PLAN = Plan()


@pytest.fixture(params=DATABASES)
def service(request, tmp_path):
    settings = Settings(data_dir=tmp_path)
    storage = Storage(settings.storage_url)
    with migrated_sessions(request.param, tmp_path, storage) as sessions:
        yield Service(
            sessions=sessions,
            storage=storage,
            settings=settings,
            lock_directory=tmp_path / "lock",
            worker_id="test",
        )


@pytest.fixture
def target(service):
    with unit_of_work(service.sessions) as session:
        target_id = AgentRepository(session).check_in(ANN, AGENT)
        return TargetRepository(session).get_target(ANN, target_id)


def in_transaction(service, do):
    with unit_of_work(service.sessions) as session:
        return do(session)


def answer_all(service, target, ended: threading.Event, answer: Callable) -> int:
    """An agent in this process, until `ended`; how many it answered."""
    answered = 0
    while not ended.wait(0.05):
        held = in_transaction(service, lambda session: Holding(session).hand_out(target.id, AGENT))
        if held is not None:
            answered += 1
            in_transaction(service, lambda session, held=held: answer(Holding(session), held))
    return answered


def with_agent(
    service, target, do, answer=lambda holding, held: holding.answer(ANN, held.task_id, held.lease, READING)
):
    """What `do` gives, and how often an agent was asked meanwhile (in a list)."""
    ended, counts = threading.Event(), []
    agent = threading.Thread(target=lambda: counts.append(answer_all(service, target, ended, answer)))
    agent.start()
    try:
        return do(), counts
    finally:
        ended.set()
        agent.join()


def device_of(service, target, asker="job_a", **named):
    return closing(RemoteDevice(target, asker, service, **named))


def open_tasks(service):
    with reading(service.sessions) as session:
        return list(session.scalars(select(TaskRow.id).where(TaskRow.state.in_(("queued", "running")))))


def test_what_is_asked_is_answered_and_its_files_do_not_stay(service, target):
    with device_of(service, target) as device:
        assert (device.file, device.conditions) == ("onnx", CONDITIONS)  # which any runtime but torch is given
        found, counts = with_agent(service, target, lambda: device.read(b"candidate", b"reference", PLAN))
    assert (found, counts) == (READING, [1])
    with reading(service.sessions) as session:
        assert BlobRepository(session).list_hashes() == frozenset()


def test_the_agent_finds_the_files_and_no_sweep_takes_them(service, target):
    def look(holding, held):
        assert service.storage.read(held.order.candidate) == b"candidate"
        assert service.storage.read(held.order.reference) == b"reference"
        in_use = in_transaction(service, lambda session: BlobRepository(session).forget_unused(held.order.candidate))
        assert not in_use
        holding.fail(ANN, held.task_id, held.lease, "looked")

    with device_of(service, target) as device, pytest.raises(MeasurementFailed, match="phone-1: looked"):
        with_agent(service, target, lambda: device.read(b"candidate", b"reference", PLAN), look)


def test_the_reference_is_there_whatever_became_of_it_between_two_readings(service, target):
    def look(holding, held):
        assert service.storage.read(held.order.reference) == b"original"
        holding.answer(ANN, held.task_id, held.lease, READING)

    with device_of(service, target) as device:
        with_agent(service, target, lambda: device.read(b"original", b"original", PLAN), look)
        for candidate in (b"first", b"second"):
            with device_of(service, target, asker="job_b") as another:
                with_agent(service, target, lambda: another.read(b"other", b"original", PLAN), look)
            with_agent(service, target, lambda: device.read(candidate, b"original", PLAN), look)  # noqa: B023
    with reading(service.sessions) as session:
        assert BlobRepository(session).list_hashes() == frozenset()


def test_an_answer_that_came_when_the_worker_was_gone_is_not_asked_for_again(service, target):
    with device_of(service, target) as device:
        _, counts = with_agent(service, target, lambda: device.read(b"candidate", b"reference", PLAN))
    with device_of(service, target) as device:  # the next worker, from the same record
        assert device.read(b"candidate", b"reference", PLAN) == READING
    assert counts == [1]
    in_transaction(service, lambda session: OrderBook(session).forget_answered("job_a"))
    with device_of(service, target) as device, pytest.raises(Stopped):
        device.read(b"candidate", b"reference", PLAN, stop=lambda: True)


def test_a_worker_that_lost_its_lease_asks_a_device_for_nothing_more(service, target):
    def lost(session):
        raise LeaseLost("job_a", 1)

    with device_of(service.at_work(lost), target) as device, pytest.raises(LeaseLost):
        device.read(b"candidate", b"reference", PLAN)
    assert open_tasks(service) == []


def test_who_asks_the_same_twice_gets_two_answers(service, target):
    def ask_twice(device):
        return [device.read(b"candidate", b"reference", PLAN) for _ in range(2)]

    with device_of(service, target) as device:
        _, counts = with_agent(service, target, lambda: ask_twice(device))
    with device_of(service, target) as device:  # the next worker: one is known, and the other is asked for
        _, more = with_agent(service, target, lambda: ask_twice(device))
    assert (counts, more) == ([2], [1])


def test_nobody_gets_the_answer_to_anothers_question(service, target):
    with device_of(service, target) as device:
        with_agent(service, target, lambda: device.read(b"candidate", b"reference", PLAN))
    with device_of(service, target, asker="job_ab") as device, pytest.raises(Stopped):
        device.read(b"candidate", b"reference", PLAN, stop=lambda: True)
    in_transaction(service, lambda session: OrderBook(session).forget_answered("job_ab"))
    with device_of(service, target) as device:
        assert device.read(b"candidate", b"reference", PLAN) == READING


def test_an_old_answer_of_a_device_that_measures_otherwise_by_now_does_not_count(service, target):
    with device_of(service, target) as device:
        with_agent(service, target, lambda: device.read(b"candidate", b"reference", PLAN))
    newer = replace(AGENT, conditions=replace(CONDITIONS, runtime_version="2.0"))
    in_transaction(service, lambda session: AgentRepository(session).check_in(ANN, newer))
    with device_of(service, target) as device, pytest.raises(Stopped):
        device.read(b"candidate", b"reference", PLAN, stop=lambda: True)


def test_whoever_stops_waiting_leaves_nothing_with_the_device(service, target):
    with device_of(service, target) as device, pytest.raises(Stopped):
        device.read(b"candidate", b"reference", PLAN, stop=lambda: True)
    assert open_tasks(service) == []


def test_a_task_that_another_worker_took_back_is_asked_again(service, target):
    """A worker that lost its lease may wake up late; whoever has the job now must not suffer."""
    seen = []

    def stop():
        seen.append(open_tasks(service))
        if len(seen) == 1:
            in_transaction(service, lambda session: OrderBook(session).withdraw(seen[0][0]))
        return len(seen) == 3

    with device_of(service, target) as device, pytest.raises(Stopped):
        device.read(b"candidate", b"reference", PLAN, stop=stop)
    assert seen[1] != seen[0]


def test_a_device_that_is_away_is_told_of_and_not_waited_for_beyond_the_patience(service, target):
    long_ago = {"last_seen_at": None}
    in_transaction(service, lambda session: session.execute(update(TargetRow).values(long_ago)))
    impatient = replace(service, settings=Settings(device_patience_s=0))
    told = []
    with (
        device_of(impatient, target, tell_away=told.append) as device,
        pytest.raises(DeviceAway, match="netadapt agent --name phone-1"),
    ):
        device.read(b"candidate", b"reference", PLAN)
    assert told == [True]
    assert open_tasks(service) == []


def test_a_device_that_has_work_in_its_hands_is_not_away(service, target):
    looks, told = [], []

    def take_it_and_be_silent():
        if not looks:
            looks.append(in_transaction(service, lambda session: Holding(session).hand_out(target.id, AGENT)))
            in_transaction(service, lambda session: session.execute(update(TargetRow).values(last_seen_at=None)))
        looks.append(None)
        return len(looks) == 4

    with device_of(service, target, tell_away=told.append) as device, pytest.raises(Stopped):
        device.read(b"candidate", b"reference", PLAN, stop=take_it_and_be_silent)
    assert looks[0] is not None
    assert told == []


def test_a_device_of_before_the_clock_was_put_back_is_away_and_its_work_and_name_are_free(service, target):
    def put_back(session):
        later = database_now(session) + timedelta(hours=5)
        session.execute(update(TargetRow).values(last_seen_at=later))
        session.execute(update(TaskRow).values(lease_expires_at=later))

    order = ReadingOrder(asker="job_a", candidate="a" * 64, reference="b" * 64, plan=PLAN)
    in_transaction(service, lambda session: OrderBook(session).ask("ann", target.id, order))
    in_transaction(service, lambda session: Holding(session).hand_out(target.id, AGENT))
    in_transaction(service, put_back)
    with reading(service.sessions) as session:
        assert not OrderBook(session).is_held(target.id)
        assert Holding(session).has_work(target.id)
        assert AgentRepository(session).unseen_s(target.id) > AWAY_S
        seen_at = TargetRepository(session).get_target(ANN, target.id).last_seen_at
        assert not is_present(seen_at, database_now(session))
        assert session.scalar(select(TargetRow.id).where(row_is_present(database_now(session)))) is None
    other = replace(AGENT, instance="another process")
    assert in_transaction(service, lambda session: AgentRepository(session).check_in(ANN, other)) == target.id


def test_two_first_calls_of_one_name_make_one_target(service):
    ids, barrier = set(), threading.Barrier(4)

    def call():
        barrier.wait()
        ids.add(AgentService(service.sessions).check_in(ANN, AGENT))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(ids) == 1


def test_orders_of_jobs_that_are_over_are_forgotten_after_an_hour(service, target):
    with device_of(service, target) as device:
        with_agent(service, target, lambda: device.read(b"candidate", b"reference", PLAN))
    in_transaction(service, lambda session: OrderBook(session).forget_orphans())
    with reading(service.sessions) as session:
        (task,) = session.scalars(select(TaskRow))
        assert task.key.startswith("job_a/")
    in_transaction(
        service,
        lambda session: session.execute(update(TaskRow).values(created_at=database_now(session).replace(year=2020))),
    )
    in_transaction(service, lambda session: OrderBook(session).forget_orphans())
    with reading(service.sessions) as session:
        assert list(session.scalars(select(TaskRow))) == []


def test_another_plan_is_another_question(service, target):
    with device_of(service, target) as device:
        with_agent(service, target, lambda: device.read(b"candidate", b"reference", PLAN))
        with pytest.raises(Stopped):
            device.read(b"candidate", b"reference", replace(PLAN, profile_s=1.0), stop=lambda: True)
