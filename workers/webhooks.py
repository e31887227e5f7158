"""The lane that tells receivers of the end of jobs: claims messages, sends several at a time, writes what came of it.

A process of its own, which loads no torch: a receiver that keeps us waiting disturbs no measurement, and a kill of this
process costs nothing but time (the claim runs out, and the message is sent again).
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from sqlalchemy.orm import Session
from structlog.contextvars import bind_contextvars

from app.counters import ATTEMPTS, Counters
from app.database import DATABASE_AWAY, reading, unit_of_work
from app.settings import Settings
from app.webhooks.addresses import AddressPolicy
from app.webhooks.outbox import Outbox
from app.webhooks.records import ClaimedDelivery, Outcome
from app.webhooks.sending import Sender
from app.webhooks.signing import signed_headers
from workers.service import Service, open_service

log = logging.getLogger(__name__)
T = TypeVar("T")

IDLE_S = 0.5
AT_ONCE = 8
OF_ONE_OWNER = 2  # at once: somebody whose receivers are slow keeps others from nothing
LOOK_UPS = 4 * AT_ONCE  # of names: one may hang for longer than its message is waited for, and nothing ends it
FORGET_EVERY_S = 3600.0
DRAIN_S = 5.0
FAULT = "it could not be sent, through a fault of this service; its log says more"


def run_webhooks(settings: Settings) -> int:
    """Serves the lane until SIGTERM, SIGINT or the end of the host. Returns 0."""
    with open_service(settings, "webhooks", os.getpid()) as service:
        asyncio.run(_run(service))
    return 0


async def _run(service: Service) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(LOOK_UPS, "names"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    settings = service.settings
    policy = AddressPolicy(settings.webhook_allowed_networks)
    await Deliverer(service, Sender(policy, timeout_s=settings.webhook_timeout_s)).run(ending)


class Deliverer:
    """Lives in one event loop; the database is asked in threads of its own."""

    def __init__(self, service: Service, sender: Sender, clock: Callable[[], float] = time.monotonic) -> None:
        self._service, self._sender, self._clock = service, sender, clock
        self._sending: dict[asyncio.Task[None], str] = {}  # whose message it is
        # Apart from asyncio's own threads, in which names are looked up: those may hang as long as a stranger likes.
        self._threads = ThreadPoolExecutor(4, "database")
        self._forget_at = clock()

    async def run(self, ending: asyncio.Event) -> None:
        """Until `ending`; then what is being sent has a moment to end, and what has not is sent again by another."""
        while not ending.is_set():
            try:
                started = await self._start_what_is_due()
                await self._forget_old()
            except DATABASE_AWAY as error:  # messages wait in it
                log.error("the database did not answer; trying again: %s", getattr(error, "orig", None) or error)
                started = False
            if not started:
                await self._pause(ending)
        if self._sending:
            await asyncio.wait(self._sending, timeout=DRAIN_S)
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        self._threads.shutdown()

    async def _start_what_is_due(self) -> bool:
        """Whether there was something to start: more of it may be due."""
        if len(self._sending) >= AT_ONCE:
            return False
        busy = list(self._sending.values())
        full = {owner for owner in busy if busy.count(owner) >= OF_ONE_OWNER}
        claimed = await self._in_thread(lambda: self._claim(full))
        if claimed is None:
            return False
        task = asyncio.create_task(self._deliver(claimed))
        self._sending[task] = claimed.owner
        task.add_done_callback(self._sending.pop)
        return True

    def _claim(self, busy: set[str]) -> ClaimedDelivery | None:
        with reading(self._service.sessions) as session:  # most looks find nothing, and need no lock for it
            if not Outbox(session).is_anything_due(not_of=busy):
                return None
        # Twice the time that an attempt may take: nobody else sends this while we do.
        lease_s = 2 * self._service.settings.webhook_timeout_s + DRAIN_S
        return self._write(lambda session: Outbox(session).claim(lease_s=lease_s, not_of=busy))

    async def _deliver(self, claimed: ClaimedDelivery) -> None:
        bind_contextvars(job_id=claimed.job_id, webhook_id=claimed.webhook_id, delivery_id=claimed.id)  # of this task
        outcome = await self._send(claimed)
        try:
            await self._in_thread(lambda: self._settle(claimed, outcome))
        except Exception:  # its claim runs out, and it is tried again; the others go on
            log.exception("what came of a message could not be written")

    async def _send(self, claimed: ClaimedDelivery) -> Outcome:
        body = claimed.body.encode()
        try:
            headers = signed_headers(claimed.secret, claimed.id, claimed.at, body)
            return await self._sender.send(claimed.url, headers, body)
        except Exception:  # counts as an attempt: otherwise this message would be tried for ever
            log.exception("a message could not be sent")
            return Outcome(error=FAULT)

    def _settle(self, claimed: ClaimedDelivery, outcome: Outcome) -> None:
        def settle(session: Session) -> str | None:
            state = Outbox(session).settle(claimed, outcome, retry_s=self._service.settings.webhook_retry_s)
            if state is not None:
                Counters(session).add(
                    ATTEMPTS, "accepted" if outcome.accepted else "refused" if outcome.status else "failed"
                )
            return state

        state = self._write(settle)
        said = outcome.error or f"answered {outcome.status}"
        log.info("attempt %d: %s; %s", claimed.attempts, said, state or "another process has it now")

    async def _forget_old(self) -> None:
        if self._clock() < self._forget_at:
            return
        self._forget_at = self._clock() + FORGET_EVERY_S
        days = self._service.settings.webhook_kept_days
        await self._in_thread(lambda: self._write(lambda session: Outbox(session).forget_old(days)))

    async def _pause(self, ending: asyncio.Event) -> None:
        """Until it is worth looking again: a while has passed, or a place is free."""
        ended = asyncio.ensure_future(ending.wait())
        await asyncio.wait({ended, *self._sending}, timeout=IDLE_S, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        inside = copy_context()  # what is logged there names what it belongs to
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: inside.run(work))

    def _write(self, work: Callable[[Session], T]) -> T:
        with unit_of_work(self._service.sessions) as session:
            return work(session)
