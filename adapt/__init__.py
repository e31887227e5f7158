"""NetAdapt, the algorithm: usable without the service, as `adapt.run` and `adapt.load`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapt.api import load, run

__all__ = ["load", "run"]


def __getattr__(name: str) -> Any:
    """Both need torch, which whoever imports another part of this package may not have."""
    if name not in __all__:
        raise AttributeError(f"module 'adapt' has no attribute {name!r}")
    return getattr(import_module("adapt.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
