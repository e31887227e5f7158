"""What a verb of the API needs, one thing after the other: a generator yields each need and is handed what came of it.

So a verb is written once: the blocking client and the asynchronous one drive the same generators (app.client.driving).
What goes wrong while a need is met is raised inside the generator, a broken connection as ServiceUnreachable.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import httpx

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Send:
    """A request with its whole answer (an httpx.Response)."""

    method: str
    path: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Open:
    """A GET of which the body is still to be read, by `Read` (an httpx.Response; that of an error is read already).
    It is closed by the next one, or when the verb ends."""

    path: str
    headers: Mapping[str, str]
    params: Mapping[str, Any] = field(default_factory=dict)
    timeout: httpx.Timeout | None = None


@dataclass(frozen=True)
class Read:
    """The next bytes of what is open; None at its end."""


@dataclass(frozen=True)
class Nap:
    seconds: float


@dataclass(frozen=True)
class Work:
    """What `act` answers, which uses the disk."""

    act: Callable[[], Any]


@dataclass(frozen=True)
class Give(Generic[T]):
    """An item for whoever goes through the verb; nothing comes of it."""

    item: T


Call = Generator[Send | Open | Read | Nap | Work | Give[Any], Any, T]
"""A verb that answers T."""
Items = Generator[Send | Open | Read | Nap | Work | Give[T], Any, None]
"""A verb that gives one T after the other."""
