"""Many clients at once, each polling and following a job's events: what they were answered, and how long it took."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx

POLL_S = 1.0
READS = ("/v1/jobs/{job}", "/v1/jobs", "/v1/jobs/{job}/proposals", "/v1/jobs/{job}/iterations", "/v1/jobs/{job}/events")


@dataclass
class Answers:
    """`seconds` of every read but the streams; `statuses` of everything, a broken connection counting as 0."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    events: int = 0

    @property
    def faults(self) -> int:
        return sum(count for status, count in self.statuses.items() if status >= 500 or status == 0)

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@asynccontextmanager
async def clients_at_work(address: str, jobs: Sequence[str], *, count: int, seed: int) -> AsyncIterator[Answers]:
    """`count` clients from here to the end of the block, each with connections of its own.

    In one pool of a hundred connections each request would wait longer for httpx than for the service.
    """
    answers = Answers()
    async with AsyncExitStack() as stack:
        tasks = []
        for number in range(count):
            http = httpx.AsyncClient(base_url=address, timeout=60, trust_env=False, verify=False)
            await stack.enter_async_context(http)
            chance = random.Random(1000 * seed + number)
            tasks += [asyncio.create_task(each(http, chance, jobs, answers)) for each in (_poll, _follow)]
        try:
            yield answers
        finally:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if not isinstance(outcome, asyncio.CancelledError):
                    raise RuntimeError("a client ended by itself") from outcome


async def _poll(http: httpx.AsyncClient, chance: random.Random, jobs: Sequence[str], answers: Answers) -> None:
    await asyncio.sleep(chance.uniform(0, POLL_S))
    while True:
        path = chance.choice(READS).format(job=chance.choice(jobs))
        started = time.perf_counter()
        try:
            answers.statuses[(await http.get(path)).status_code] += 1
        except httpx.TransportError:
            answers.statuses[0] += 1
        answers.seconds.append(time.perf_counter() - started)
        await asyncio.sleep(chance.uniform(0.5, 1.5) * POLL_S)


async def _follow(http: httpx.AsyncClient, chance: random.Random, jobs: Sequence[str], answers: Answers) -> None:
    await asyncio.sleep(chance.uniform(0, POLL_S))  # fifty strangers do not begin at the same instant
    while True:
        try:
            path = f"/v1/jobs/{chance.choice(jobs)}/events"
            async with http.stream("GET", path, headers={"Accept": "text/event-stream"}) as stream:
                answers.statuses[stream.status_code] += 1
                async for line in stream.aiter_lines():
                    answers.events += line.startswith("event:")
        except httpx.TransportError:
            answers.statuses[0] += 1
        await asyncio.sleep(POLL_S)  # a job that is over answers at once
