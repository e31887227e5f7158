"""One HTTP connection to the service: base address, token, retries, problems as errors."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from app.client.errors import ServiceUnreachable, UnexpectedAnswer, error_of

Json = dict[str, Any]
ATTEMPTS = 3
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SAFE_TO_REPEAT = frozenset({"GET", "DELETE"})
WORTH_REPEATING = frozenset({429, 502, 503, 504})


class Connection:
    """Not thread-safe. What may be repeated without doing it twice is repeated, with growing pauses:
    reads and deletions always, other requests only when no connection came about at all."""

    def __init__(
        self,
        base_url: str,
        token: str | None,
        *,
        transport: httpx.BaseTransport | None,
        timeout_s: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.sleep = sleep
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        # A chunk of an upload may wait for a slow disk, so writing has more time than connecting.
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0), write=max(timeout_s, 120.0))
        try:
            loopback = httpx.URL(self.base_url).host in LOOPBACK
            self._http = httpx.Client(
                base_url=self.base_url,
                headers=headers,
                transport=transport,
                timeout=timeout,
                trust_env=not loopback,  # a proxy from the environment cannot reach our own machine
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise ServiceUnreachable({"title": "Not an address", "detail": f"{base_url}: {error}"}) from error

    def close(self) -> None:
        self._http.close()

    def request(self, method: str, path: str, **arguments: Any) -> Json:
        """The parsed answer; {} for one without a body. Raises a NetAdaptError for every other end."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = self._http.request(method, path, **arguments)
            except httpx.TransportError as error:
                unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol)
                if attempt == ATTEMPTS or not (unsent or method in SAFE_TO_REPEAT):
                    raise self.unreachable(error) from error
                self.pause(attempt)
                continue
            if response.status_code in WORTH_REPEATING and method in SAFE_TO_REPEAT and attempt < ATTEMPTS:
                self.pause(attempt, response.headers.get("Retry-After"))
                continue
            return self._answer(response)
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def stream(self, path: str, *, headers: Mapping[str, str], **arguments: Any) -> Iterator[httpx.Response]:
        """A successful GET whose body is still to be read. Raises as `request` does, but never repeats."""
        try:
            with self._http.stream("GET", path, headers=dict(headers), **arguments) as response:
                if response.status_code >= 400:
                    response.read()
                    self._answer(response)
                yield response
        except httpx.TransportError as error:
            raise self.unreachable(error) from error

    def pages(self, path: str, params: Mapping[str, Any]) -> Iterator[Json]:
        """Every item of a listing, page by page."""
        cursor: str | None = None
        while True:
            wanted = {key: value for key, value in {**params, "cursor": cursor}.items() if value is not None}
            page = self.request("GET", path, params=wanted)
            yield from page.get("data", [])
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def pause(self, attempt: int, retry_after: str | None = None) -> None:
        seconds = FIRST_PAUSE_S * 2 ** (attempt - 1)
        if retry_after and retry_after.isdigit():
            seconds = max(seconds, float(retry_after))
        self.sleep(min(seconds, LONGEST_PAUSE_S))

    def unreachable(self, error: httpx.TransportError) -> ServiceUnreachable:
        if isinstance(error, httpx.ConnectError):
            detail = f"nothing answers at {self.base_url}; start it with `netadapt serve`, or name another with --url"
        elif isinstance(error, httpx.TimeoutException):
            detail = f"{self.base_url} did not answer in time"
        else:
            detail = f"the connection to {self.base_url} broke: {error or type(error).__name__}"
        return ServiceUnreachable({"title": "Service unreachable", "detail": detail})

    def _answer(self, response: httpx.Response) -> Json:
        if response.is_success and not response.content:
            return {}
        try:
            body = response.json()
        except (json.JSONDecodeError, UnicodeDecodeError):
            body = None
        if not isinstance(body, dict):
            detail = f"{self.base_url} answered {response.status_code} without JSON; is it a NetAdapt service?"
            raise UnexpectedAnswer({"title": "Unexpected answer", "status": response.status_code, "detail": detail})
        if not response.is_success:
            raise error_of(response.status_code, body)
        return body
