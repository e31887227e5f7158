"""What a shell offers on TAB: the words of the contract, and the ids that the service has.

`netadapt --install-completion` sets it up. Where no service answers there are no ids: a TAB tells nobody of an error.
"""

import os
from collections.abc import Callable, Iterable

Offer = Callable[[str], list[str]]
AT_MOST = 50
PATIENCE_S = 1.0


def words(find: Callable[[], Iterable[str]]) -> Offer:
    """Those of `find()`, which is asked no sooner than on TAB, that begin as what is typed."""

    def offer(incomplete: str) -> list[str]:
        return [word for word in find() if word.startswith(incomplete)]

    return offer


def presets() -> Iterable[str]:
    from adapt.presets import PRESETS

    return PRESETS


def resources() -> Iterable[str]:
    from adapt.spec import RESOURCES

    return (f"{resource}=" for resource in RESOURCES)


def states() -> Iterable[str]:
    from typing import get_args

    from app.records import JobState

    return get_args(JobState)


def formats() -> Iterable[str]:
    from typing import get_args

    from app.records import FileFormat

    return get_args(FileFormat)


def ids_of(kind: str) -> Callable[[], Iterable[str]]:
    """The newest of `jobs`, `models`, `datasets` or `targets`, as the client's collection is named."""

    def find() -> Iterable[str]:
        from itertools import islice

        from app.cli.connection import DEFAULT_URL
        from app.client import Client
        from app.client.errors import NetAdaptError

        url, token = os.environ.get("NETADAPT_URL", DEFAULT_URL), os.environ.get("NETADAPT_TOKEN")
        try:
            with Client(url, token, timeout_s=PATIENCE_S) as client:
                return [item["id"] for item in islice(getattr(client, kind).list(), AT_MOST)]
        except NetAdaptError:
            return []

    return find
