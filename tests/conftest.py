"""One way to run a test on every database that we claim to run on, and examples of hypothesis that no clock judges.

A test that asks for `database_url` (one database for its module) or `fresh_database_url` (one of its own) runs on each
of them; `@pytest.mark.databases("sqlite")`, on a test or as a module's `pytestmark`, names those that it runs on. So a
module whose point is not SQL runs on SQLite, and the tests of it that show its queries run on both.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.databases import DATABASES, migrated_database

if TYPE_CHECKING:
    from playwright.sync_api import Browser

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("databases")
    kinds = DATABASES if marker is None else marker.args
    for name, scope in (("database_url", "module"), ("fresh_database_url", "function")):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, kinds, indirect=True, scope=scope)


@pytest.fixture(scope="module")
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database of the module's own."""
    with migrated_database(request.param, tmp_path_factory.mktemp("database")) as url:
        yield url


@pytest.fixture
def fresh_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated database of the test's own."""
    with migrated_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium, without a window."""
    from tests.browser import chromium  # others do without playwright

    with chromium() as running:
        yield running
