"""The two that meet the needs of verbs (app.client.calls): one blocks, the other awaits."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import anyio.to_thread
import httpx

from app.client.calls import Call, Give, Items, Nap, Open, Read, Send, Work
from app.client.errors import ServiceUnreachable
from app.client.exchange import unreachable

T = TypeVar("T")
OnUpload = Callable[[int, int], None]
"""Told while a request's body goes out: bytes sent, and all of them."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Address:
    """Where a service is, and how it is spoken to."""

    base_url: str
    token: str | None = field(repr=False)
    timeout_s: float

    def options(self) -> dict[str, Any]:
        """Of an httpx client. Raises ServiceUnreachable for what is no address."""
        try:
            url = httpx.URL(self.base_url.rstrip("/"))
        except (httpx.InvalidURL, ValueError) as error:
            raise ServiceUnreachable({"title": "Not an address", "detail": f"{self.base_url}: {error}"}) from error
        authorization = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {
            "base_url": url,
            "headers": {"Accept": "application/json", **authorization},
            # A chunk of an upload may wait for a slow disk, so writing has more time than connecting.
            "timeout": httpx.Timeout(
                self.timeout_s, connect=min(self.timeout_s, 10.0), write=max(self.timeout_s, 120.0)
            ),
            "trust_env": url.host not in LOOPBACK,  # a proxy from the environment cannot reach our own machine
        }


class BlockingDriver:
    """Not thread-safe."""

    def __init__(
        self,
        address: Address,
        transport: httpx.BaseTransport | None,
        sleep: Callable[[float], None],
        on_upload: OnUpload | None = None,
    ) -> None:
        self._http = httpx.Client(transport=transport, **address.options())
        self._sleep, self._on_upload = sleep, on_upload

    def close(self) -> None:
        self._http.close()

    def run(self, call: Call[T]) -> T:
        """What it answers; what it gives is dropped."""
        under_way = _UnderWay(call)
        for _ in self._given(under_way):
            pass
        return under_way.answer

    def items(self, verb: Items[T]) -> Iterator[T]:
        return self._given(_UnderWay(verb))

    def _given(self, under_way: "_UnderWay[Any]") -> Iterator[Any]:
        with ExitStack() as ends:
            ends.callback(under_way.close)
            body = _Body(ends.enter_context(ExitStack()))
            while (need := under_way.need()) is not None:
                if isinstance(need, Give):
                    yield need.item
                    under_way.came(None)
                    continue
                try:
                    under_way.came(self._meet(need, body))
                except Exception as error:
                    under_way.failed(error, self._http)

    def _meet(self, need: Any, body: "_Body") -> Any:
        match need:
            case Send():
                return self._sent(self._http.build_request(need.method, need.path, **need.arguments))
            case Open():
                body.ends.close()
                response = body.ends.enter_context(self._http.stream("GET", need.path, **_stream_arguments(need)))
                if response.status_code >= 400:
                    response.read()
                body.chunks = response.iter_bytes()
                return response
            case Read():
                return next(body.chunks, None)
            case Nap():
                return self._sleep(need.seconds)
            case Work():
                return need.act()
        raise TypeError(f"a verb needs {need!r}, which nobody meets")

    def _sent(self, request: httpx.Request) -> httpx.Response:
        size = int(request.headers.get("Content-Length", 0))
        if self._on_upload is not None and size and isinstance(request.stream, httpx.SyncByteStream):
            request.stream = _Told(request.stream, size, self._on_upload)
        return self._http.send(request)


class _Told(httpx.SyncByteStream):
    """A body that says how far it is out."""

    def __init__(self, body: httpx.SyncByteStream, size: int, on_upload: OnUpload) -> None:
        self._body, self._size, self._on_upload = body, size, on_upload

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        for piece in self._body:
            yield piece
            sent += len(piece)
            self._on_upload(sent, self._size)

    def close(self) -> None:
        self._body.close()


class AsyncDriver:
    """For one event loop, of asyncio or trio."""

    def __init__(
        self, address: Address, transport: httpx.AsyncBaseTransport | None, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._http = httpx.AsyncClient(transport=transport, **address.options())
        self._sleep = sleep

    async def close(self) -> None:
        await self._http.aclose()

    async def run(self, call: Call[T]) -> T:
        """What it answers; what it gives is dropped."""
        under_way = _UnderWay(call)
        async for _ in self._given(under_way):
            pass
        return under_way.answer

    def items(self, verb: Items[T]) -> AsyncIterator[T]:
        return self._given(_UnderWay(verb))

    async def _given(self, under_way: "_UnderWay[Any]") -> AsyncIterator[Any]:
        async with AsyncExitStack() as ends:
            ends.callback(under_way.close)
            body = _AsyncBody(await ends.enter_async_context(AsyncExitStack()))
            while (need := under_way.need()) is not None:
                if isinstance(need, Give):
                    yield need.item
                    under_way.came(None)
                    continue
                try:
                    under_way.came(await self._meet(need, body))
                except Exception as error:
                    under_way.failed(error, self._http)

    async def _meet(self, need: Any, body: "_AsyncBody") -> Any:
        match need:
            case Send():
                return await self._http.request(need.method, need.path, **need.arguments)
            case Open():
                await body.ends.aclose()
                streaming = self._http.stream("GET", need.path, **_stream_arguments(need))
                response = await body.ends.enter_async_context(streaming)
                if response.status_code >= 400:
                    await response.aread()
                body.chunks = response.aiter_bytes()
                return response
            case Read():
                return await anext(body.chunks, None)
            case Nap():
                return await self._sleep(need.seconds)
            case Work():
                return await anyio.to_thread.run_sync(need.act)
        raise TypeError(f"a verb needs {need!r}, which nobody meets")


class _UnderWay(Generic[T]):
    """A verb between two needs: `answer` is there once it has none left."""

    answer: T

    def __init__(self, verb: Call[T]) -> None:
        self._verb = verb
        self._resume = partial(next, verb)

    def need(self) -> Any:
        """None: it is over. Raises what the verb raises."""
        try:
            return self._resume()
        except StopIteration as end:
            self.answer = end.value
            return None

    def came(self, value: Any) -> None:
        self._resume = partial(self._verb.send, value)

    def failed(self, error: Exception, http: httpx.Client | httpx.AsyncClient) -> None:
        """A broken connection is ServiceUnreachable, caused by it."""
        if isinstance(error, httpx.TransportError):
            told = unreachable(str(http.base_url).rstrip("/"), error)
            told.__cause__ = error
            error = told
        self._resume = partial(self._verb.throw, error)

    def close(self) -> None:
        self._verb.close()


@dataclass
class _Body:
    """What is open, and what is left to be read of it."""

    ends: ExitStack
    chunks: Iterator[bytes] = field(default_factory=lambda: iter(()))


@dataclass
class _AsyncBody:
    ends: AsyncExitStack
    chunks: AsyncIterator[bytes] = field(init=False)


def _stream_arguments(need: Open) -> dict[str, Any]:
    timeout = {} if need.timeout is None else {"timeout": need.timeout}
    return {"headers": dict(need.headers), "params": dict(need.params), **timeout}
