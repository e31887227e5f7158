"""Where webhooks may be sent to: the public internet, and the networks that the operator allows."""

import ipaddress
import re
import socket
from collections.abc import Iterable

import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_URL = 2000
_HOST = re.compile(rb"[a-z0-9._-]+|[0-9a-f:.]+")  # a name as idna has encoded it, or an address

_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is routed between strangers. Outside lie loopback, unspecified, link-local, unique local, site-local
and multicast addresses, and those that stand for an IPv4 address: mapped, compatible, and NAT64 with both prefixes."""

# Within what `ipaddress` calls global, and yet not a stranger's machine. Its lists differ between Python's versions,
# so what matters is written out.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "100.64.0.0/10",  # carriers' address translation (RFC 6598)
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # 6to4 relays: what lies behind is any IPv4 address
        "198.18.0.0/15",  # benchmarks
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "2001::/23",  # protocol assignments, Teredo among them: an IPv4 address inside
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
    )
)


class UrlRefused(Exception):
    """`why` says what is wrong with the address, for its owner."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


class AddressPolicy:
    """Threads may share one. `allowed`: networks that may be reached although they are not public."""

    def __init__(self, allowed: Iterable[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def permits(self, address: Address) -> bool:
        """Exactly as it is spelt: ::ffff:127.0.0.1 is not allowed by allowing 127.0.0.0/8."""
        return any(address in network for network in self._allowed) or _is_public(address)

    def check_url(self, url: str) -> str:
        """The address in one spelling. What its name resolves to is checked whenever something is sent. Raises
        UrlRefused."""
        parsed = parse_url(url)
        literal = _literal_addresses(parsed.host)
        if literal and not any(self.permits(address) for address in literal):
            raise UrlRefused("names a private address; the operator can allow it (NETADAPT_WEBHOOK_ALLOWED_NETWORKS)")
        return str(httpx.URL(str(parsed)))  # read again: the usual port is dropped only after a scheme in small letters


def parse_url(url: str) -> httpx.URL:
    """The one reader of addresses, for checking and for sending: two that disagree could be played off against each
    other. Raises UrlRefused."""
    if len(url) > MAX_URL:
        raise UrlRefused(f"has {len(url)} characters; {MAX_URL} at most are taken")
    try:
        parsed = httpx.URL(url)
        host = parsed.host
    except (httpx.InvalidURL, ValueError) as error:  # ValueError: a host that idna cannot encode, or not decode
        raise UrlRefused("is not an address such as https://example.org/hook") from error
    if parsed.scheme not in {"https", "http"} or not host:
        raise UrlRefused("has to begin with https:// or http:// and to name a host")
    if parsed.userinfo:
        raise UrlRefused("holds a user name or password; receivers know us by the signature")
    if "#" in url:
        raise UrlRefused("has a fragment (#...), which is never sent")
    if not _HOST.fullmatch(parsed.raw_host):
        raise UrlRefused("names a host with characters that no name or address has")
    if parsed.port is not None and not 1 <= parsed.port <= 65535:
        raise UrlRefused(f"names port {parsed.port}; there are 1 to 65535")
    return parsed


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_IPV6:
        return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)


def _literal_addresses(host: str) -> list[Address]:
    """What `host` is without asking anybody: an address in any spelling that resolvers take, or this machine."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return [ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1")]
    try:
        return [ipaddress.ip_address(name)]
    except ValueError:
        pass
    try:
        return [ipaddress.IPv4Address(socket.inet_aton(name))]  # 127.1, 0x7f000001, 2130706433
    except OSError:
        return []
