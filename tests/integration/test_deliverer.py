"""The loop that sends messages, in this process, with receivers that are only asked, not reached."""

import asyncio
import socket
import threading
from pathlib import Path

import pytest
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.database import make_engine, make_sessions, migrate, reading, unit_of_work
from app.jobs.records import NewJob
from app.jobs.repository import JobRepository
from app.records import Caller
from app.settings import Settings
from app.storage import Storage
from app.webhooks.outbox import Outbox
from app.webhooks.records import Outcome
from app.webhooks.repository import WebhookRepository
from app.webhooks.schemas import ALL_EVENTS
from app.webhooks.sending import resolve
from tests.rows import add_dataset_and_target, add_model
from workers import webhooks
from workers.service import Service
from workers.webhooks import AT_ONCE, OF_ONE_OWNER, Deliverer


@pytest.fixture(name="service")
def _service(tmp_path: Path):
    settings = Settings(data_dir=tmp_path, webhook_retry_s="0,0")
    migrate(settings.database_url)
    engine = make_engine(settings.database_url)
    sessions = make_sessions(engine)
    with unit_of_work(sessions) as session:
        add_dataset_and_target(session)
        add_model(session)
    yield Service(
        sessions=sessions,
        storage=Storage(settings.storage_url),
        settings=settings,
        lock_directory=tmp_path / "lock",
        worker_id="test",
    )
    engine.dispose()


def end_jobs(service: Service, count: int, owner: str = "ann") -> str:
    """The webhook that has to be told of them."""
    caller = Caller(id=owner)
    new = NewJob(name=None, model_id="mdl_a", dataset_id="dst_a", target_id="tgt_a", budget={"macs": 1}, settings={})
    with unit_of_work(service.sessions) as session:
        hook = WebhookRepository(session).add_webhook(caller, "https://example.org/", ALL_EVENTS, limit=20)[0]
        for _ in range(count):
            JobRepository(session).cancel_job(caller, JobRepository(session).add_job(caller, new).id)
    return hook.id


def states(service: Service, hook: str, owner: str = "ann") -> list[str]:
    with reading(service.sessions) as session:
        page = WebhookRepository(session).list_deliveries(Caller(id=owner), hook, after=None, limit=100)
    return [told.state for told in page.items]


class Receivers:
    """Answers after `answers` say so; remembers how many were asked at the same time."""

    def __init__(self, *, hold: asyncio.Event | None = None) -> None:
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self._hold = hold

    async def send(self, url, headers, body) -> Outcome:
        self.asked.append(headers["webhook-id"])
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self._hold is not None:
            await self._hold.wait()
        self.at_once -= 1
        return Outcome(status=200)


async def run_until(deliverer: Deliverer, true) -> None:
    """The test's own time limit ends what never comes true."""
    ending = asyncio.Event()
    running = asyncio.create_task(deliverer.run(ending))
    while not true() and not running.done():
        await asyncio.sleep(0.01)
    ending.set()
    await running


@pytest.mark.parametrize("method", ["is_anything_due", "claim", "settle"])
def test_a_database_that_is_away_for_a_moment_costs_no_message(service, monkeypatch, method):
    hook, works, failures = end_jobs(service, 1), getattr(Outbox, method), []

    def away_at_first(self, *arguments, **named):
        if not failures:
            failures.append(None)
            raise OperationalError("SELECT", {}, Exception("gone"))
        return works(self, *arguments, **named)

    monkeypatch.setattr(Outbox, method, away_at_first)
    if method == "settle":
        monkeypatch.setattr(webhooks, "DRAIN_S", -2 * service.settings.webhook_timeout_s)  # a claim runs out at once
    receivers = Receivers()
    asyncio.run(run_until(Deliverer(service, receivers), lambda: states(service, hook) == ["delivered"]))
    assert failures
    assert len(receivers.asked) >= 2 if method == "settle" else len(receivers.asked) == 1
    assert len(set(receivers.asked)) == 1


@pytest.mark.parametrize("gone", [InterfaceError("SELECT", {}, Exception("cut")), PoolTimeout("no connection free")])
def test_however_the_database_goes_away_the_loop_goes_on(service, monkeypatch, gone):
    hook, works, failures = end_jobs(service, 1), Outbox.is_anything_due, [gone]

    def away_at_first(self, **named):
        if failures:
            raise failures.pop()
        return works(self, **named)

    monkeypatch.setattr(Outbox, "is_anything_due", away_at_first)
    asyncio.run(run_until(Deliverer(service, Receivers()), lambda: states(service, hook) == ["delivered"]))
    assert states(service, hook) == ["delivered"]
    assert not failures


def test_a_message_that_cannot_even_be_tried_is_given_up_in_the_end(service):
    hook = end_jobs(service, 1)

    class Broken(Receivers):
        async def send(self, url, headers, body) -> Outcome:
            self.asked.append(headers["webhook-id"])
            raise RuntimeError("nobody foresaw this")

    receivers = Broken()
    asyncio.run(run_until(Deliverer(service, receivers), lambda: states(service, hook) == ["failed"]))
    assert len(receivers.asked) == 1 + len(service.settings.webhook_retry_s)


def test_names_that_hang_keep_no_other_from_being_looked_up(service, monkeypatch):
    release, found = threading.Event(), []

    def look_up(host, port, *_arguments, **_named):
        if host == "slow.example":
            release.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]

    class LooksUp:
        def __init__(self, *_: object) -> None: ...

        async def run(self, _ending: asyncio.Event) -> None:
            slow = [asyncio.create_task(resolve("slow.example", 443)) for _ in range(3 * AT_ONCE)]
            try:
                async with asyncio.timeout(10):
                    await asyncio.sleep(0)  # so that those are asked first
                    found.extend(await resolve("quick.example", 443))
            finally:
                release.set()
                await asyncio.gather(*slow)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(webhooks, "Deliverer", LooksUp)
    asyncio.run(webhooks._run(service))
    assert found == ["192.0.2.1"]


def test_each_message_is_sent_once_and_an_owner_takes_only_his_share(service):
    hooks = {owner: end_jobs(service, 6, owner) for owner in ("ann", "bob")}

    async def deliver() -> Receivers:
        receivers = Receivers()
        deliverer = Deliverer(service, receivers)
        await run_until(deliverer, lambda: all(set(states(service, hooks[o], o)) == {"delivered"} for o in hooks))
        return receivers

    receivers = asyncio.run(deliver())
    assert len(receivers.asked) == len(set(receivers.asked)) == 12
    assert receivers.most_at_once <= 2 * OF_ONE_OWNER


def test_so_many_at_once_and_no_more(service):
    for n in range(AT_ONCE):
        end_jobs(service, 3, f"owner{n}")

    async def deliver() -> Receivers:
        hold = asyncio.Event()
        receivers = Receivers(hold=hold)
        deliverer, ending = Deliverer(service, receivers), asyncio.Event()
        running = asyncio.create_task(deliverer.run(ending))
        while receivers.at_once < AT_ONCE:
            await asyncio.sleep(0.01)
        hold.set()
        ending.set()
        await running
        return receivers

    receivers = asyncio.run(deliver())
    assert receivers.most_at_once == AT_ONCE


def test_what_is_being_sent_when_it_ends_is_left_to_the_next(service, monkeypatch):
    hook = end_jobs(service, 1)
    monkeypatch.setattr(webhooks, "DRAIN_S", 0.05)

    async def end_in_the_middle() -> Receivers:
        receivers = Receivers(hold=asyncio.Event())
        await run_until(Deliverer(service, receivers), lambda: receivers.at_once == 1)
        return receivers

    assert len(asyncio.run(end_in_the_middle()).asked) == 1
    assert states(service, hook) == ["queued"]
