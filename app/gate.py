"""What no request may be, whatever its path: not for us, from another site's page, or with a token in its address."""

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.auth import COOKIE, is_loopback
from app.problem_documents import SECRET
from app.problem_responses import problem_response
from app.problems import BY_STATUS

READING = frozenset({"GET", "HEAD", "OPTIONS"})
CREDENTIAL_NAMES = frozenset({"token", "access_token", "api_key", "apikey", "authorization", COOKIE})
"""Of parameters in an address, in small letters."""
MAX_ADDRESS = 8192
"""Bytes of path and query together: ids, a cursor and a few numbers are far below."""
MAX_HEAD_BYTES = 32 * 1024
"""Of a request's line and headers."""
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9_.-]+))(?::[0-9]{1,5})?")
Refusal = tuple[int, str]


class Gate:
    """ASGI middleware. A web page elsewhere must not be able to use a service on this machine: neither under a name
    of its own that resolves here (Host), nor by a form or script that writes (Origin, Sec-Fetch-Site). What a proxy
    says of the host it was asked by (X-Forwarded-Host, Forwarded) is never looked at: anybody can send that."""

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str], *, behind_tls: bool = False) -> None:
        self._app = app
        self._allowed = frozenset(host.lower() for host in allowed_hosts)
        self._schemes = frozenset({"https"} if behind_tls else {"http", "https"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            status, detail = refusal
            # Whatever else comes by this connection may be meant for somebody else, or be part of what was refused.
            await problem_response(BY_STATUS[status], detail, {"Connection": "close"})(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Refusal | None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEAD_BYTES:
            return 431, f"the request's headers are longer than {MAX_HEAD_BYTES} bytes"
        headers = Headers(scope=scope)
        if "content-length" in headers and "transfer-encoding" in headers:
            return 400, "Content-Length and Transfer-Encoding say different things of one body (RFC 9112, 6.1)"
        host = headers.get("host", "").lower()
        if not self._is_ours(host, scope):
            return 403, "the Host header names no address of this service; NETADAPT_ALLOWED_HOSTS adds names"
        return self._of_another_site(scope["method"], host, headers) or _bad_address(scope)

    def _is_ours(self, host: str, scope: Scope) -> bool:
        name = _name_of(host)
        if name is None:
            return False
        if is_loopback(name) or name in self._allowed:
            return True
        # A name can be made to resolve to any address, but an address in the Host header is just that.
        listener = scope.get("server")
        return listener is not None and _is_address(name) and name == listener[0]

    def _of_another_site(self, method: str, host: str, headers: Headers) -> Refusal | None:
        site, mode = (headers.get(f"sec-fetch-{name}", "").lower() for name in ("site", "mode"))
        foreign = site not in {"same-origin", "none", ""}
        if method in READING:
            # A link that somebody follows; a page elsewhere that only loads something from here has no business to.
            return (403, "a page of another site may not read here") if foreign and mode != "navigate" else None
        origin = headers.get("origin")
        if origin is not None and not self._is_own_origin(origin, host):
            return 403, "a page of another origin may not write here"
        return (403, "a page of another site may not write here") if foreign else None

    def _is_own_origin(self, origin: str, host: str) -> bool:
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in self._schemes and parts.netloc.lower() == host


def _bad_address(scope: Scope) -> Refusal | None:
    path, query = scope["path"], scope["query_string"].decode("latin-1")
    if len(scope.get("raw_path") or path) + len(query) > MAX_ADDRESS:
        return 414, f"path and query together are longer than {MAX_ADDRESS} bytes"
    if not path.startswith("/"):
        return 400, "the request's target is no path: no proxy is run here"
    named = any(name.lower() in CREDENTIAL_NAMES for name, _ in parse_qsl(query, keep_blank_values=True))
    if named or SECRET.search(path) or SECRET.search(unquote_plus(query)):
        return 400, "a token never belongs into an address, where logs keep it: send it as Authorization: Bearer"
    if "\0" in path or "%00" in query or "\ufffd" in path:
        return 400, "the address holds characters that none of ours has"
    return None


def _name_of(host: str) -> str | None:
    """Without its port; None for what is no host at all."""
    match = _HOST.fullmatch(host)
    return None if match is None else match["v6"] or match["name"]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
