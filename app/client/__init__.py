"""The Python client of the public API: `from netadapt import Client`. Needs httpx only."""

from app.client.api import Client
from app.client.errors import NetAdaptError

__all__ = ["Client", "NetAdaptError"]
