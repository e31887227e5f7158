"""Following a job: its event stream, taken up again wherever it broke."""

import json
from collections.abc import Iterator

import httpx

from app.client.calls import Call, Give, Items, Nap, Open, Read
from app.client.errors import ServiceFailed, ServiceUnreachable, UnexpectedAnswer
from app.client.events import EventParser, ServerSentEvent
from app.client.exchange import pause_s, refuse, request
from app.client.results import Event

LAST_STATES = frozenset({"succeeded", "failed", "cancelled"})
SILENCE_S = 60.0  # the service sends a comment every 15 s
BROKEN_STREAMS = 8  # in a row, without one event between them; with growing pauses about two minutes


def watch_job(job_path: str, *, after: int) -> Items[Event]:
    """Events from the one after `after` until the job's last state. Raises NetAdaptError when it cannot go on."""
    broken = 0
    while True:
        parser = EventParser()
        try:
            yield from _opened(job_path, after)
            while (chunk := (yield Read())) is not None:
                for event in _events(parser, chunk):
                    broken, after = 0, after if event["id"] is None else event["id"]
                    yield Give(event)
                    if _is_last(event):
                        return
            if (yield from _is_over(job_path, after)):
                return
        except (ServiceUnreachable, ServiceFailed):
            if broken + 1 >= BROKEN_STREAMS:
                raise
        broken += 1
        yield Nap(pause_s(broken))


def _opened(job_path: str, after: int) -> Call[None]:
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": str(after)} if after else {})}
    timeout = httpx.Timeout(10.0, read=SILENCE_S)
    response: httpx.Response = yield Open(path=f"{job_path}/events", headers=headers, timeout=timeout)
    refuse(response)
    if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
        raise UnexpectedAnswer({"title": "Unexpected answer", "detail": f"{job_path}/events sent no event stream"})


def _is_over(job_path: str, after: int) -> Call[bool]:
    """Whether a stream that ended had nothing left to tell."""
    job = yield from request("GET", job_path)
    if job.get("state") not in LAST_STATES:
        return False
    rest = yield from request("GET", f"{job_path}/events", params={"after": after, "limit": 1})
    return not rest.get("data")


def _is_last(event: Event) -> bool:
    return event["event"] == "state" and event["data"].get("state") in LAST_STATES


def _events(parser: EventParser, chunk: bytes) -> Iterator[Event]:
    for event in parser.feed(chunk):
        yield _parsed(event)


def _parsed(event: ServerSentEvent) -> Event:
    """The event's own JSON, with `id` None where it cannot be resumed from."""
    try:
        body = json.loads(event.data)
    except json.JSONDecodeError as error:
        raise UnexpectedAnswer({"title": "Unexpected answer", "detail": f"event {event.id}: not JSON"}) from error
    if not isinstance(body, dict) or not isinstance(body.get("data"), dict):
        raise UnexpectedAnswer({"title": "Unexpected answer", "detail": f"event {event.id}: no data"})
    number = int(event.id) if event.id is not None and event.id.isdecimal() else None
    found: Event = {**body, "event": event.event, "id": number}  # type: ignore[typeddict-item]
    return found
