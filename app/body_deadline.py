"""A request whose body trickles in is cut: a thousand of them would otherwise hold a thousand connections for hours."""

import time
from collections.abc import Callable

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BYTES_PER_S = 1024
"""The slowest upload that is waited for: a file of megabytes over a bad mobile connection is faster."""


class BodyTooSlow(Exception):
    def __init__(self, received_bytes: int, seconds: float) -> None:
        super().__init__(received_bytes, seconds)
        self.received_bytes, self.seconds = received_bytes, seconds

    def __str__(self) -> str:
        return (
            f"{self.received_bytes} bytes of the body came in {self.seconds:.0f} s, which is too slow to go on "
            "waiting; send it again"
        )


class BodyDeadline:
    """ASGI middleware. A body may be waited for `grace_s`, and a second more for each BYTES_PER_S bytes of it that
    came; then reading it raises BodyTooSlow. Once an answer has begun, the client counts as one that went away."""

    def __init__(self, app: ASGIApp, *, grace_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._grace_s, self._clock = app, grace_s, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received, waited_s, more, answering = 0, 0.0, True, False

        async def receive_in_time() -> Message:
            nonlocal received, waited_s, more
            if not more:
                return await receive()
            start = self._clock()
            try:
                with anyio.fail_after(self._grace_s + received / BYTES_PER_S - waited_s):
                    message = await receive()
            except TimeoutError:
                if answering:
                    return {"type": "http.disconnect"}
                raise BodyTooSlow(received, waited_s + self._clock() - start) from None
            waited_s += self._clock() - start  # what we take to work on it is not the client's time
            received += len(message.get("body", b""))
            more = bool(message.get("more_body", False))
            return message

        async def send_noting(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        await self._app(scope, receive_in_time, send_noting)
