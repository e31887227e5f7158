"""The API over real HTTP: uvicorn in a thread, on a database and a storage of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from app.auth import TokenRepository
from app.connections import guarded_config
from app.database import migrate, unit_of_work
from app.dependencies import Services, close_services
from app.main import create_app
from app.settings import Settings


@dataclass(frozen=True, kw_only=True)
class LiveApi:
    """`client` is the owner `ann`, `stranger` somebody else. `folder` holds database and files."""

    client: httpx.Client
    stranger: httpx.Client
    services: Services
    folder: Path

    def stored_files(self) -> list[Path]:
        """Every blob, and every file of an upload or a read under way."""
        kept = self.folder / "files"
        return [path for folder in (kept, self.services.scratch) for path in folder.rglob("*") if path.is_file()]


@contextmanager
def live_api(folder: Path, *, max_upload_bytes: int = 50 * 1024 * 1024, **others: Any) -> Iterator[LiveApi]:
    """`others` are settings."""
    settings = Settings(data_dir=folder, max_upload_bytes=max_upload_bytes, **others)
    migrate(settings.database_url)
    api = create_app(settings)
    services: Services = api.state.services
    with unit_of_work(services.sessions) as session:
        secrets = [TokenRepository(session).create_token(owner)[1] for owner in ("ann", "bob")]
    with _served(api, settings) as url:
        ann, bob = (
            httpx.Client(timeout=120, base_url=url, headers={"Authorization": f"Bearer {secret}"}) for secret in secrets
        )
        with ann, bob:
            yield LiveApi(client=ann, stranger=bob, services=services, folder=folder)
    close_services(services)


@contextmanager
def _served(api: FastAPI, settings: Settings) -> Iterator[str]:
    ready = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: object = None) -> None:
            await super().startup(sockets=None)
            ready.set()

    config = guarded_config(api, settings, host="127.0.0.1", port=0, log_level="error", lifespan="off")
    server = Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert ready.wait(30)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
