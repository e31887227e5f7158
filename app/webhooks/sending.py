"""One POST to a stranger's server: to an address that was checked, for a limited time, and nothing else.

httpcore rather than httpx: it follows no redirect, reads no proxy from the environment and decompresses nothing, and
its network backend is the one place through which every connection goes.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

import httpcore

from app.version import VERSION
from app.webhooks.addresses import AddressPolicy, parse_url
from app.webhooks.records import Outcome

MAX_ANSWER_BYTES = 64 * 1024
"""Nothing is done with an answer's body; so much of it is read that an ordinary server is not cut off in it."""

NOWHERE = "its name leads to no address that webhooks may be sent to"
"""The same for a name that is not known and one that is private: nobody is to map our network by it."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class NowhereToSend(Exception):
    def __str__(self) -> str:
        return NOWHERE


async def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, in the system's order. Raises OSError, UnicodeError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Sender:
    """`resolve` is asked once per attempt, and the connection goes to the very address that it gave."""

    def __init__(
        self, policy: AddressPolicy, *, timeout_s: float, resolve: Resolve = resolve, tls: ssl.SSLContext | None = None
    ) -> None:
        self._backend = CheckedBackend(policy, resolve)
        self._timeout_s = timeout_s
        self._tls = httpcore.default_ssl_context() if tls is None else tls

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Never longer than `timeout_s`, whatever the other end does. A status counts once it is there: a receiver that
        answers 200 and then dawdles has answered."""
        status: int | None = None
        try:
            async with asyncio.timeout(self._timeout_s), self._pool() as pool:
                parsed = parse_url(url)
                target = httpcore.URL(
                    scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path
                )
                sent = [*_ours(parsed.netloc), *headers.items()]
                limits = {"timeout": {"connect": self._timeout_s / 3}}  # of each address: another may be alive
                async with pool.stream("POST", target, headers=sent, content=body, extensions=limits) as response:
                    status = response.status
                    await _read_some(response.aiter_stream())
        except NowhereToSend as error:
            return Outcome(error=str(error))
        except (TimeoutError, httpcore.TimeoutException):
            reason = f"no answer within {self._timeout_s:g} s"
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            reason = _in_words(error)
        else:
            reason = ""
        return Outcome(error=reason) if status is None else Outcome(status=status)

    def _pool(self) -> httpcore.AsyncConnectionPool:
        # For this one attempt: a connection that lives on would go where the name led an hour ago.
        return httpcore.AsyncConnectionPool(
            ssl_context=self._tls, network_backend=self._backend, max_connections=1, max_keepalive_connections=0
        )


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name once, drops the addresses that are not permitted, and connects to one of the others by number."""

    def __init__(
        self, policy: AddressPolicy, resolve: Resolve, network: httpcore.AsyncNetworkBackend | None = None
    ) -> None:
        self._policy, self._resolve = policy, resolve
        self._network = httpcore.AnyIOBackend() if network is None else network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failed: Exception = NowhereToSend()
        for address in await self._permitted(host, port):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise NowhereToSend

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)

    async def _permitted(self, host: str, port: int) -> list[str]:
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError):  # UnicodeError: a label that is too long for a name
            return []
        return [address for address in dict.fromkeys(found) if self._policy.permits(ipaddress.ip_address(address))]


def _ours(netloc: bytes) -> list[tuple[str, str]]:
    return [
        ("host", netloc.decode("ascii")),
        ("connection", "close"),
        ("content-type", "application/json"),
        ("user-agent", f"netadapt/{VERSION}"),
    ]


async def _read_some(stream: AsyncIterator[bytes]) -> None:
    read = 0
    async for chunk in stream:
        read += len(chunk)
        if read >= MAX_ANSWER_BYTES:
            return


def _in_words(error: Exception) -> str:
    """For the webhook's owner: what failed, but nothing of what the other end sent."""
    if isinstance(error.__cause__ or error.__context__, ssl.SSLError):
        return "no secure connection: its certificate or its TLS is not accepted"
    if isinstance(error, httpcore.ConnectError):
        return "nobody accepts connections there"
    if isinstance(error, httpcore.ProtocolError):
        return "what it answers is not HTTP"
    return "the connection broke before there was an answer"
