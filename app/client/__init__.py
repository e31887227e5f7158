"""The Python client of the public API: `from netadapt import Client, AsyncClient`. Needs httpx only."""

from app.client.api import Client
from app.client.async_api import AsyncClient
from app.client.errors import NetAdaptError

__all__ = ["AsyncClient", "Client", "NetAdaptError"]
