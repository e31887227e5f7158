"""What happens around every request: it has an id, a line in the log, a place in the metrics, and always an answer."""

import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from app.metrics import RequestMetrics
from app.problem_responses import problem_response
from app.problems import INTERNAL, INTERNAL_DETAIL

log = logging.getLogger(__name__)

HEADER = "X-Request-ID"
NO_ROUTE = "(none)"
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds, and nobody's request
_SANE = re.compile(r"[A-Za-z0-9._:-]{1,100}")  # what a caller's own id may be: it goes into logs and headers
_MAX_PATH = 500


class RequestLog:
    """ASGI middleware, the outermost one: what the others refuse has an id and a line as well."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(Headers(scope=scope).get(HEADER))
        with bound_contextvars(request_id=request_id):
            await _Answering(scope, send, request_id, self._metrics).answer(self._app, receive)


def request_id_of(given: str | None) -> str:
    """The caller's own, if it is a sane one: a chain of services then logs under one id. Otherwise a new one."""
    return given if given is not None and _SANE.fullmatch(given) else f"req_{secrets.token_hex(12)}"


class _Answering:
    """One request from its arrival to its end."""

    def __init__(self, scope: Scope, send: Send, request_id: str, metrics: RequestMetrics) -> None:
        self._scope, self._send, self._request_id, self._metrics = scope, send, request_id, metrics
        self._began = time.perf_counter()
        self._status: int | None = None

    async def answer(self, app: ASGIApp, receive: Receive) -> None:
        try:
            await app(self._scope, receive, self._send_on)
        except Exception:
            log.exception("a fault of the service")
            if self._status is not None:
                raise  # half of an answer is out: only the server can break it off now
            unread = {"Connection": "close"}  # half of a body may be
            refusal = problem_response(INTERNAL, INTERNAL_DETAIL, unread)
            await refusal(self._scope, receive, self._send_on)
        finally:
            self._tell()

    async def _send_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            MutableHeaders(scope=message)[HEADER] = self._request_id
            seconds = time.perf_counter() - self._began  # until the answer begins: a stream may last for hours
            self._metrics.observe(self._scope["method"], self._route(), self._status, seconds)
        await self._send(message)

    def _tell(self) -> None:
        path = self._scope["path"]
        client = self._scope.get("client")
        log.log(
            logging.DEBUG if path in PROBES else logging.INFO,
            "%s %s %s",
            self._scope["method"],
            path[:_MAX_PATH],  # without what follows a "?": some of it is nobody's business
            self._status or "(no answer)",
            extra={
                "status": self._status,
                "route": self._route(),
                "duration_ms": round((time.perf_counter() - self._began) * 1000, 1),
                "client": None if client is None else client[0],
            },
        )

    def _route(self) -> str:
        """The route's template, of which there are few, and never the path."""
        return str(getattr(self._scope.get("route"), "path", NO_ROUTE))
