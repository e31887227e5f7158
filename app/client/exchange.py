"""Requests that are repeated where that does nothing twice, and answers as JSON or as errors."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

import httpx

from app.client.calls import Call, Give, Items, Nap, Open, Read, Send
from app.client.errors import ServiceUnreachable, UnexpectedAnswer, error_of

Json = dict[str, Any]
ATTEMPTS = 5
REFUSED_ATTEMPTS = 3  # where nobody listens: a service that restarts is back by then, one that is off is not waited for
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
SAFE_TO_REPEAT = frozenset({"GET", "DELETE"})
WORTH_REPEATING = frozenset({429, 502, 503, 504})
STILL_RUNNING = "urn:netadapt:problem:first-request-running"
KEY = "Idempotency-Key"
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)


def request(method: str, path: str, *, repeatable: bool = False, **arguments: Any) -> Call[Any]:
    """The parsed answer; {} for one without a body. Raises a NetAdaptError for every other end.

    Reads, deletions, what is `repeatable` and what has an Idempotency-Key are sent again, with growing pauses, when
    the connection breaks or the service has no time; anything else only when no connection came about.
    """
    return answer_of((yield from exchange(method, path, repeatable=repeatable, **arguments)))


def post_once(path: str, *, key: str | None = None, **arguments: Any) -> Call[Any]:
    """A POST that makes something, sent as often as it takes and done once: it has a key, drawn unless it is given."""
    headers = {KEY: key or str(uuid.uuid4())}
    return (yield from request("POST", path, repeatable=True, headers=headers, **arguments))


def pages(path: str, params: Mapping[str, Any]) -> Items[Any]:
    """Every item of a listing, page by page."""
    cursor: str | None = None
    while True:
        wanted = {key: value for key, value in {**params, "cursor": cursor}.items() if value is not None}
        page = yield from request("GET", path, params=wanted)
        for item in page.get("data", []):
            yield Give(item)
        cursor = page.get("next_cursor")
        if not cursor:
            return


def chunks(need: Open) -> Items[bytes]:
    """The body of an answer as it comes. Raises as `request` does, but never repeats."""
    refuse((yield need))
    while (chunk := (yield Read())) is not None:
        yield Give(chunk)


def exchange(method: str, path: str, *, repeatable: bool = False, **arguments: Any) -> Call[httpx.Response]:
    """The answer, whatever its status."""
    repeatable = repeatable or method in SAFE_TO_REPEAT
    attempt = 0
    while True:
        attempt += 1
        try:
            response: httpx.Response = yield Send(method=method, path=path, arguments=arguments)
        except ServiceUnreachable as error:
            unsent = isinstance(error.__cause__, _UNSENT)
            if attempt >= (REFUSED_ATTEMPTS if unsent else ATTEMPTS) or not (repeatable or unsent):
                raise
            yield Nap(pause_s(attempt))
            continue
        if not (repeatable and attempt < ATTEMPTS and _worth_repeating(response, attempt)):
            gone = method == "DELETE" and attempt > 1 and response.status_code == 404  # the lost answer said 204
            return httpx.Response(204, request=response.request) if gone else response
        yield Nap(pause_s(attempt, response.headers.get("Retry-After")))


def pause_s(attempt: int, retry_after: str | None = None) -> float:
    """Before the attempt after `attempt`: doubled each time, or what the service asks for."""
    seconds = FIRST_PAUSE_S * 2.0 ** (attempt - 1)
    if retry_after and retry_after.isdigit():
        seconds = max(seconds, float(retry_after))
    return min(seconds, LONGEST_PAUSE_S)


def answer_of(response: httpx.Response) -> Json:
    """Raises a NetAdaptError unless it is a success with a JSON object or without a body."""
    if response.is_success and not response.content:
        return {}
    try:
        body = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        body = None
    if not isinstance(body, dict):
        where = f"{response.url.scheme}://{response.url.netloc.decode()}"
        detail = f"{where} answered {response.status_code} without JSON; is it a NetAdapt service?"
        raise UnexpectedAnswer({"title": "Unexpected answer", "status": response.status_code, "detail": detail})
    if not response.is_success:
        raise error_of(response.status_code, body)
    return body


def refuse(response: httpx.Response) -> None:
    """Raises a NetAdaptError for the answer to an `Open` that is an error."""
    if response.status_code >= 400:
        answer_of(response)


def unreachable(base_url: str, error: httpx.TransportError) -> ServiceUnreachable:
    if isinstance(error, httpx.ConnectError):
        detail = f"nothing answers at {base_url}; start it with `netadapt serve`, or name another with --url"
    elif isinstance(error, httpx.TimeoutException):
        detail = f"{base_url} did not answer in time"
    else:
        detail = f"the connection to {base_url} broke: {error or type(error).__name__}"
    return ServiceUnreachable({"title": "Service unreachable", "detail": detail})


def _worth_repeating(response: httpx.Response, attempt: int) -> bool:
    if response.status_code in WORTH_REPEATING:
        return True
    # Of a request that was sent again: the one whose answer was lost is still at work.
    return attempt > 1 and response.status_code == 409 and STILL_RUNNING in response.text
