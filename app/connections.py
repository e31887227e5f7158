"""The connection below HTTP: uvicorn's protocol, with the patience that it lacks.

uvicorn (0.54) waits for ever for a request's headers, for the rest of a body whose answer is sent, and for a client
that does not read its answer. A few thousand of those, and nobody else is answered.
"""

import asyncio
import json
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.gate import MAX_HEAD_BYTES
from app.problem_documents import problem_document
from app.problems import BY_STATUS, Problem
from app.security_headers import HEADERS
from app.settings import Settings

LINGER_S = 1.0
KEEP_ALIVE_S = 30
"""Longer than clients and proxies keep an idle connection for its next use (httpx 5 s): whichever end closes first must
not be ours, or a request crosses the closing and is lost."""
CROWDED = Problem(503, "too-many-connections", "Too many connections")


def guarded_config(app: Any, settings: Settings, **others: Any) -> Config:
    """uvicorn's settings for `app`. X-Forwarded-For and -Proto are believed of `trusted_proxies` alone."""

    class Protocol(GuardedProtocol):
        head_timeout_s = settings.head_timeout_s
        answer_timeout_s = settings.answer_timeout_s
        max_connections = settings.max_connections

    return Config(
        app,
        http=Protocol,
        ws="none",
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        **others,
    )


class GuardedProtocol(H11Protocol):
    """Ends a connection whose next request does not come in time, and one whose client leaves its answer unread."""

    head_timeout_s = 10.0
    answer_timeout_s = 60.0
    max_connections = 1000
    _head_timer: asyncio.TimerHandle | None = None
    _answer_timer: asyncio.TimerHandle | None = None
    _unread_bytes = 0
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_answer_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if len(self.connections) > self.max_connections and self.cycle is None:
            self._answer_and_close(CROWDED, "as many connections are open as are served at once; try again in a moment")
            return
        super().data_received(data)
        if self._is_answering():
            self._stop_head_timer()
        elif not self.transport.is_closing():
            self._expect_head()  # runs already unless an answer is over: bytes that trickle in do not prolong it

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and self.conn.their_state is h11.SEND_BODY:
            self._expect_head()  # the body goes on although it is answered: its end has to come soon

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_bytes = self.transport.get_write_buffer_size()
        self._answer_timer = self.loop.call_later(self.answer_timeout_s, self._answer_unread)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_answer_timer()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, or too much of it, gets a problem like everything else."""
        if len(self.conn.trailing_data[0]) > MAX_HEAD_BYTES:
            self._answer_and_close(
                BY_STATUS[431], f"the request's line and headers are longer than {MAX_HEAD_BYTES} bytes"
            )
        else:
            self._answer_and_close(BY_STATUS[400], "this is no HTTP request")

    def _answer_and_close(self, problem: Problem, detail: str) -> None:
        body = json.dumps(problem_document(problem.slug, problem.title, problem.status, detail)).encode()
        self._refused = True
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            said = {**HEADERS, "Content-Type": "application/problem+json", "Content-Length": str(len(body))}
            said |= {"Connection": "close"} | ({"Retry-After": "1"} if problem is CROWDED else {})
            headers = [(name.encode(), value.encode()) for name, value in said.items()]
            response = h11.Response(status_code=problem.status, headers=headers)
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        # Closed at once, with more of the request still coming, the client would see a reset and never the answer.
        self.loop.call_later(LINGER_S, self.transport.close)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_head(self) -> None:
        self._head_timer = self._head_timer or self.loop.call_later(self.head_timeout_s, self._head_overdue)

    def _head_overdue(self) -> None:
        self._head_timer = None
        if self._is_answering() or self.transport.is_closing():
            return
        if not self.conn.trailing_data[0]:  # nothing was begun, so nothing is answered
            self.transport.close()
            return
        self._answer_and_close(BY_STATUS[408], f"no request was complete within {self.head_timeout_s:g} s")

    def _answer_unread(self) -> None:
        unread = self.transport.get_write_buffer_size()
        if unread >= self._unread_bytes:
            self.transport.abort()
            return
        self._unread_bytes = unread  # slowly, but it reads
        self._answer_timer = self.loop.call_later(self.answer_timeout_s, self._answer_unread)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = None

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
        self._answer_timer = None
