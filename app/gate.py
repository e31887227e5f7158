"""What no request may be, whatever its path: not for us, from another site's page, or with a token in its address."""

import ipaddress
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.auth import is_loopback
from app.problem_responses import problem_response
from app.problems import BY_STATUS

READING = frozenset({"GET", "HEAD", "OPTIONS"})
SECRETS = frozenset({"token", "access_token", "api_key", "apikey", "authorization"})


class Gate:
    """ASGI middleware. A web page elsewhere must not be able to use a service on this machine: neither under a name
    of its own that resolves here (Host), nor by a form or script that writes (Origin, Sec-Fetch-Site)."""

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str]) -> None:
        self._app = app
        self._allowed = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            status, detail = refusal
            await problem_response(BY_STATUS[status], detail)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_ours(host, scope):
            return 403, "the Host header names no address of this service; NETADAPT_ALLOWED_HOSTS adds names"
        if scope["method"] not in READING:
            origin = headers.get("origin")
            if origin is not None and _netloc(origin) != host.lower():
                return 403, "a page of another origin may not write here"
            if headers.get("sec-fetch-site", "none").lower() not in {"same-origin", "none"}:
                return 403, "a page of another site may not write here"
        query = scope["query_string"].decode("latin-1")
        if any(name.lower() in SECRETS for name, _ in parse_qsl(query, keep_blank_values=True)):
            return 400, "a token never belongs into an address, where logs keep it: send it as Authorization: Bearer"
        if "\0" in scope["path"] or "%00" in query or "\ufffd" in scope["path"]:
            return 400, "the address holds characters that none of ours has"
        return None

    def _is_ours(self, host: str, scope: Scope) -> bool:
        name = _without_port(host).lower()
        if is_loopback(name) or name in self._allowed:
            return True
        # A name can be made to resolve to any address, but an address in the Host header is just that.
        listener = scope.get("server")
        return listener is not None and _is_address(name) and name == listener[0]


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1 : host.find("]")] if "]" in host else host
    return host.rsplit(":", 1)[0] if host.count(":") == 1 else host


def _netloc(origin: str) -> str | None:
    """Host and port of an origin; None for what is no address at all."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
