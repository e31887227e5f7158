"""Where processes that answer on one address count their requests together: whoever scrapes is given either of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def counted_together() -> Iterator[None]:
    """For this process and those it starts, while the block lasts. To be entered before prometheus_client is imported:
    it looks for its variable then."""
    with TemporaryDirectory(prefix="netadapt-counts-") as folder:
        os.environ[_VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[_VARIABLE]


def are_counted_together() -> bool:
    return _VARIABLE in os.environ
