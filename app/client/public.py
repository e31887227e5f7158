"""What `netadapt` hands out of this package, imported together: it must not import anything later on."""

from app.client.api import Client
from app.client.async_api import AsyncClient
from app.client.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NetAdaptError,
    NotFound,
    ServiceFailed,
    ServiceUnreachable,
    SignInNeeded,
    TooLarge,
    TooManyRequests,
    UnexpectedAnswer,
    UnsupportedFormat,
)

__all__ = [
    "AsyncClient",
    "BadRequest",
    "Client",
    "Conflict",
    "Forbidden",
    "Invalid",
    "NetAdaptError",
    "NotFound",
    "ServiceFailed",
    "ServiceUnreachable",
    "SignInNeeded",
    "TooLarge",
    "TooManyRequests",
    "UnexpectedAnswer",
    "UnsupportedFormat",
]
