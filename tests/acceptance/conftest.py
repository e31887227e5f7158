"""A real service in processes of its own: API, worker host, lanes and executor children."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.client import Client
from benchmarks.live_service import live_service
from tests.trained import trained_pt2


@pytest.fixture(scope="session", name="service_folder")
def _service_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="session", name="address")
def _address(service_folder: Path) -> Iterator[str]:
    patch = pytest.MonkeyPatch()
    patch.setenv("NETADAPT_LEASE_S", "3")  # a killed worker's job is taken over soon
    patch.setenv("NETADAPT_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
    with live_service(service_folder) as address:
        yield address
    patch.undo()


@pytest.fixture(name="client")
def _client(address: str) -> Iterator[Client]:
    with Client(address) as client:
        yield client


@pytest.fixture(scope="session", name="net_file")
def _net_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained network as a user exports it."""
    path = tmp_path_factory.mktemp("user") / "net.pt2"
    path.write_bytes(trained_pt2())
    return path
