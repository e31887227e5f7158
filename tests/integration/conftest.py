"""The API over a fresh database, and a worker's service on it, for the tests that run jobs themselves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live_api import LiveApi, live_api
from workers.service import Service


@pytest.fixture(name="api")
def _api(fresh_database_url: str, tmp_path: Path) -> Iterator[LiveApi]:
    with live_api(tmp_path, database_url=fresh_database_url) as running:
        yield running


@pytest.fixture(name="service")
def _service(api: LiveApi) -> Service:
    return Service(
        sessions=api.services.sessions,
        storage=api.services.storage,
        settings=api.services.settings,
        lock_directory=api.folder / "lock",
        worker_id="test",
    )
