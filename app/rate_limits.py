"""How often somebody may ask. Token buckets in this process's memory: with several API processes each has its own.

A library's in-memory store starts a timer thread with nearly every request (limits 5.8), in place of twenty lines here.
"""

import hashlib
import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.auth import COOKIE, BadCredentials, bearer_secret
from app.problem_responses import problem_response
from app.problems import BY_STATUS

MAX_KNOWN = 10_000
SIGNED_IN = "signed_in"
"""Of the request's state: set once its credential was found to be valid."""
SIGN_IN_PATH = "/v1/session"


@dataclass(frozen=True, kw_only=True)
class Rate:
    """`burst` requests at once, and `per_s` more with each second. A rate of 0 limits nothing."""

    per_s: float
    burst: int


class Buckets:
    """One bucket a key. Threads may share one."""

    def __init__(self, rate: Rate, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> (what was left, and when)

    def wait_s(self, key: str) -> float:
        """Seconds until there is something in the bucket; 0 when there is."""
        with self._lock:
            return self._missing_s(self._left(key))

    def take(self, key: str) -> float:
        """Takes one if there is one; otherwise the seconds until there is."""
        if self._rate.per_s <= 0:
            return 0.0
        with self._lock:
            left = self._left(key)
            if (missing_s := self._missing_s(left)) > 0:
                return missing_s
            self._buckets[key] = (left - 1, self._clock())
            self._buckets.move_to_end(key)
            while len(self._buckets) > MAX_KNOWN:  # the one that was used longest ago is full again, or soon
                self._buckets.popitem(last=False)
            return 0.0

    def _left(self, key: str) -> float:
        if self._rate.per_s <= 0:
            return 1.0
        left, at = self._buckets.get(key, (float(self._rate.burst), 0.0))
        return min(float(self._rate.burst), left + (self._clock() - at) * self._rate.per_s)

    def _missing_s(self, left: float) -> float:
        return max(0.0, (1 - left) / self._rate.per_s) if self._rate.per_s > 0 else 0.0


class KnownCredentials:
    """Hashes of tokens and cookies that opened something here lately: each has a bucket of its own. Whatever else
    somebody sends counts for their address, or a fresh guess each time would have a fresh bucket each time."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def add(self, key: str) -> None:
        self._known[key] = None
        self._known.move_to_end(key)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def forget(self, key: str | None) -> None:
        self._known.pop(key or "", None)


class RateLimits:
    """ASGI middleware. `requests` are counted for each credential, or each address without one; `failures` are
    sign-ins that did not succeed, for each address: from one with too many, only known credentials are looked at."""

    def __init__(self, app: ASGIApp, *, requests: Buckets, failures: Buckets) -> None:
        self._app, self._requests, self._failures = app, requests, failures
        self._known = KnownCredentials()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        address, credential = _address(scope), _credential(headers)
        known = credential is not None and credential in self._known
        trades = (scope["method"], scope["path"]) == ("POST", SIGN_IN_PATH)
        guesses = trades or ("authorization" in headers and not known)
        wait_s = self._requests.take(credential if credential is not None and known else address)
        if wait_s == 0 and guesses:
            wait_s = self._failures.wait_s(address)
        if wait_s > 0:
            await _refuse(wait_s)(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def send_noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                if credential is not None and state.get(SIGNED_IN):
                    self._known.add(credential)
                elif message["status"] == 401:
                    self._known.forget(credential)
                    if trades or "authorization" in headers:
                        self._failures.take(address)
            await send(message)

        await self._app(scope, receive, send_noting)


def _address(scope: Scope) -> str:
    """Of the client; a whole IPv6 network of 64 bits counts as one, since whoever has one address has them all."""
    client = scope.get("client")
    if client is None:
        return "a local socket"
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return str(client[0])
    return str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


def _credential(headers: Headers) -> str | None:
    """Stands for the token or the cookie of a request, however they are spelt: one secret has one bucket. The secret
    itself is not kept."""
    authorization = headers.get("authorization")
    try:
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        given = cookie if authorization is None else bearer_secret(authorization)
    except BadCredentials:
        return None
    return None if given is None else hashlib.sha256(given.encode("utf-8", "surrogateescape")).hexdigest()


def _refuse(wait_s: float) -> Response:
    seconds = max(1, math.ceil(wait_s))
    detail = f"more requests than are answered here; go on in {seconds} s"
    return problem_response(BY_STATUS[429], detail, {"Retry-After": str(seconds)})
