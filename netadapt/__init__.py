"""The public face: `from netadapt import Client, run, load` and the errors. Everything else may move.

`Client` and the errors need httpx only. `run` and `load` are the algorithm without the service: they import torch
when they are first used, from the extra `service`.

A user's own project may well have an `app` of its own, in the folder it runs in or already imported. Ours is then
loaded beside it, and theirs stays what `import app` means.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapt.api import load, run
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
    "load",
    "run",
]

ALGORITHM = frozenset({"load", "run"})
HERE = Path(__file__).resolve().parents[1]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'netadapt' has no attribute {name!r}")
    if name in ALGORITHM:
        return getattr(_algorithm(), name)
    public = import_module("app.client.public") if _is_ours("app") else _import_beside_theirs("app.client.public")
    # All at once: loaded one by one beside a stranger's `app`, Client would raise other classes than these.
    globals().update({each: getattr(public, each) for each in public.__all__})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _algorithm() -> ModuleType:
    """Raises ImportError when `adapt` means another package: its own child processes import it by that name."""
    if not _is_ours("adapt"):
        raise ImportError(
            f"another package named 'adapt' is found before ours in {HERE}: remove it from this environment or folder "
            "to use netadapt.run and netadapt.load (netadapt.Client works beside it)"
        )
    return import_module("adapt.api")


def _is_ours(package: str) -> bool:
    module = sys.modules.get(package)
    if module is not None:
        places = getattr(module, "__path__", [])
    else:
        spec = find_spec(package)
        places = (spec.submodule_search_locations or []) if spec else []
    return any(Path(place).resolve() == HERE / package for place in places)


def _import_beside_theirs(name: str) -> ModuleType:
    """Imports `name` from our own folder; what others imported under its root name comes back afterwards."""
    root = name.partition(".")[0]

    def taken() -> dict[str, ModuleType]:
        return {key: module for key, module in sys.modules.items() if key == root or key.startswith(f"{root}.")}

    theirs = taken()
    for key in theirs:
        del sys.modules[key]
    sys.path.insert(0, str(HERE))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(HERE))
        for key in taken():
            del sys.modules[key]
        sys.modules.update(theirs)
