"""Following a job: its event stream, taken up again wherever it broke."""

import json
from collections.abc import Iterator

import httpx

from app.client.connection import Connection, Json
from app.client.errors import ServiceFailed, ServiceUnreachable, UnexpectedAnswer
from app.client.events import EventParser, ServerSentEvent

LAST_STATES = frozenset({"succeeded", "failed", "cancelled"})
SILENCE_S = 60.0  # the service sends a comment every 15 s
BROKEN_STREAMS = 8  # in a row, without one event between them; with growing pauses about two minutes


def watch_job(connection: Connection, job_path: str, *, after: int) -> Iterator[Json]:
    """Events from the one after `after` until the job's last state. Raises NetAdaptError when it cannot go on."""
    broken = 0
    while True:
        try:
            for event in _stream(connection, job_path, after=after):
                broken = 0
                after = event["id"] if event["id"] is not None else after
                yield event
                if event["event"] == "state" and event["data"].get("state") in LAST_STATES:
                    return
            if connection.request("GET", job_path).get("state") in LAST_STATES and _nothing_after(
                connection, job_path, after
            ):
                return
        except (ServiceUnreachable, ServiceFailed):
            if broken + 1 >= BROKEN_STREAMS:
                raise
        broken += 1
        connection.pause(broken)


def _nothing_after(connection: Connection, job_path: str, after: int) -> bool:
    page = connection.request("GET", f"{job_path}/events", params={"after": after, "limit": 1})
    return not page.get("data")


def _stream(connection: Connection, job_path: str, *, after: int) -> Iterator[Json]:
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": str(after)} if after else {})}
    parser = EventParser()
    timeout = httpx.Timeout(10.0, read=SILENCE_S)
    with connection.stream(f"{job_path}/events", headers=headers, timeout=timeout) as response:
        if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
            raise UnexpectedAnswer({"title": "Unexpected answer", "detail": f"{job_path}/events sent no event stream"})
        for chunk in response.iter_bytes():
            for event in parser.feed(chunk):
                yield _parsed(event)


def _parsed(event: ServerSentEvent) -> Json:
    """The event's own JSON, with `id` None where it cannot be resumed from."""
    try:
        body = json.loads(event.data)
    except json.JSONDecodeError as error:
        raise UnexpectedAnswer({"title": "Unexpected answer", "detail": f"event {event.id}: not JSON"}) from error
    if not isinstance(body, dict) or not isinstance(body.get("data"), dict):
        raise UnexpectedAnswer({"title": "Unexpected answer", "detail": f"event {event.id}: no data"})
    number = int(event.id) if event.id is not None and event.id.isdecimal() else None
    return {**body, "event": event.event, "id": number}
