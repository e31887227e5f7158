"""A job's events as server-sent events: what is recorded, then what comes, until the last state."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import anyio
import orjson
from fastapi.sse import format_sse_event
from starlette.concurrency import run_in_threadpool

from app.database import Sessions, reading
from app.jobs.documents import event_document
from app.jobs.errors import JobNotFound
from app.jobs.history import JobHistory
from app.jobs.records import Event, Job
from app.paging import Page
from app.records import LAST_STATES, Caller, fields_of
from app.timestamps import rfc3339

LOOK_S = 0.5
PROGRESS_EVERY_S = 1.0
COMMENT_EVERY_S = 15.0
ASK_EVERY_S = 5.0
BATCH = 200
Sleep = Callable[[float], Awaitable[None]]
Seen = tuple[Job, Page[Event]]
"""A job and the events after the last one, in one transaction."""


async def stream_events(
    sessions: Sessions,
    caller: Caller,
    job_id: str,
    *,
    after: int,
    allowed: Callable[[], bool] = lambda: True,
    clock: Callable[[], float] = anyio.current_time,
    sleep: Sleep = anyio.sleep,
) -> AsyncIterator[bytes]:
    """Bytes of the stream from the event after number `after`. Between two looks no database session is open.

    Ends after the last state, when the job was deleted, or once `allowed`, asked now and then, says no. Raises
    JobNotFound before the stream has begun.
    """

    async def look(after: int) -> Seen:
        return await run_in_threadpool(_look, sessions, caller, job_id, after)

    async def may_go_on() -> bool:
        return await run_in_threadpool(allowed)

    return _stream(await look(after), look, may_go_on, after, clock, sleep)


async def _stream(
    seen: Seen | None,
    look: Callable[[int], Awaitable[Seen]],
    may_go_on: Callable[[], Awaitable[bool]],
    after: int,
    clock: Callable[[], float],
    sleep: Sleep,
) -> AsyncIterator[bytes]:
    spoke = told_progress = asked = clock()
    progress: Any = None
    while True:
        if clock() - asked >= ASK_EVERY_S:
            asked = clock()
            if not await may_go_on():
                return
        try:
            job, page = seen or await look(after)
        except JobNotFound:
            return
        seen = None
        if page.items:
            after, spoke = page.items[-1].number, clock()
            yield b"".join(map(_recorded, page.items))  # at once: each piece passes all of the middleware
        if page.next_position is not None:
            continue
        if job.state in LAST_STATES:
            return
        if job.progress != progress and (progress is None or clock() - told_progress >= PROGRESS_EVERY_S):
            progress, spoke = job.progress, clock()
            told_progress = spoke
            yield format_sse_event(data_str=_json(_progress_document(job)), event="progress")
        if clock() - spoke >= COMMENT_EVERY_S:
            spoke = clock()
            yield format_sse_event(comment="nothing new")
        await sleep(LOOK_S)


def _look(sessions: Sessions, caller: Caller, job_id: str, after: int) -> Seen:
    with reading(sessions) as session:
        return JobHistory(session).list_events(caller, job_id, after=after, limit=BATCH, unread=True)


def _recorded(event: Event) -> bytes:
    return format_sse_event(data_str=_json(event_document(event)), event=event.event, id=str(event.number))


def _progress_document(job: Job) -> dict[str, Any]:
    return {
        "id": None,
        "event": "progress",
        "job": job.id,
        "at": rfc3339(datetime.now(UTC)),
        "data": fields_of(job.progress),
    }


def _json(document: dict[str, Any]) -> str:
    return orjson.dumps(document).decode()
