"""How whoever runs a search, a training or a measurement asks it to stop. Asked often, so an answer must be cheap."""

from collections.abc import Callable

Stop = Callable[[], bool]


def never() -> bool:
    """The stop signal of those who are never stopped."""
    return False
