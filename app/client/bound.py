"""A verb as a method: of a blocking client it answers, of an asynchronous one it is awaited."""

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

from app.client.calls import Call, Items
from app.client.driving import AsyncDriver, BlockingDriver

P = ParamSpec("P")
T = TypeVar("T")


class Driven:
    """Has verbs for methods, all of them on one connection."""

    def __init__(self, driver: BlockingDriver) -> None:
        self._driver = driver


class AsyncDriven:
    """The same, awaited."""

    def __init__(self, driver: AsyncDriver) -> None:
        self._driver = driver


def answers(verb: Callable[P, Call[T]]) -> Callable[Concatenate[Driven, P], T]:
    def method(self: Driven, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._driver.run(verb(*args, **kwargs))

    return _described(method, verb)


def gives(verb: Callable[P, Items[T]]) -> Callable[Concatenate[Driven, P], Iterator[T]]:
    def method(self: Driven, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._driver.items(verb(*args, **kwargs))

    return _described(method, verb)


def awaited(verb: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncDriven, P], Coroutine[Any, Any, T]]:
    async def method(self: AsyncDriven, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._driver.run(verb(*args, **kwargs))

    return _described(method, verb)


def gives_async(verb: Callable[P, Items[T]]) -> Callable[Concatenate[AsyncDriven, P], AsyncIterator[T]]:
    def method(self: AsyncDriven, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._driver.items(verb(*args, **kwargs))

    return _described(method, verb)


Method = TypeVar("Method", bound=Callable[..., Any])


def _described(method: Method, verb: Callable[..., Any]) -> Method:
    """What `help` and an editor show of it: the verb's words and parameters."""
    signature = inspect.signature(verb)
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = signature.replace(parameters=[this, *signature.parameters.values()])  # type: ignore[attr-defined]
    method.__doc__, method.__name__, method.__qualname__ = verb.__doc__, verb.__name__, verb.__name__
    return method
