"""The whole application as `netadapt serve` has it, over real HTTP: uvicorn in a thread, on folders of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import uvicorn

from app.auth import TokenRepository
from app.connections import guarded_config
from app.database import Sessions, migrate, unit_of_work
from app.dependencies import Services
from app.main import create_app
from app.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ServedApp:
    """`url` on loopback; `services` are the application's own."""

    url: str
    services: Services

    @property
    def sessions(self) -> Sessions:
        return self.services.sessions

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def create_token(self, owner: str, **named: str) -> str:
        with unit_of_work(self.sessions) as session:
            return TokenRepository(session).create_token(owner, **named)[1]


@contextmanager
def served_app(settings: Settings, port: int = 0) -> Iterator[ServedApp]:
    """`port` 0: a free one."""
    migrate(settings.database_url)
    api = create_app(settings)
    ready = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: object = None) -> None:
            await super().startup(sockets=None)
            ready.set()

    config = guarded_config(
        api, settings, host="127.0.0.1", port=port, log_level="critical", timeout_graceful_shutdown=1
    )
    server = Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert ready.wait(30)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield ServedApp(url=f"http://127.0.0.1:{port}", services=api.state.services)
    finally:
        server.should_exit = True
        thread.join()
