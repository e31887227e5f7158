"""A runtime that another package adds, held to the contract (adapt.latency.runtimes.contract), its faults as ours."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from adapt.errors import MeasurementFailed, PluginFailed
from adapt.latency.conditions import Conditions
from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.latency.runtimes.contract import Kernel, Runtime, Session
from adapt.plugins import Plugin

T = TypeVar("T")


class AddedRuntime:
    """The plug-in is called with the choice and answers a Runtime. Every call raises MeasurementFailed where that one
    raises anything or answers what the contract does not allow: a measuring process goes on after it."""

    def __init__(self, plugin: Plugin, choice: RuntimeChoice) -> None:
        self._plugin = plugin
        self._runtime: Runtime = told(plugin, "it cannot be opened", lambda: plugin.value(choice))
        self.conditions = self._checked_conditions(choice)

    def load(self, file: bytes) -> "AddedSession":
        return AddedSession(self._plugin, told(self._plugin, "it cannot load", lambda: self._runtime.load(file)))

    def profile(self, file: bytes, repeats: int) -> Sequence[Kernel]:
        kernels = told(self._plugin, "it cannot profile", lambda: list(self._runtime.profile(file, repeats)))
        if wrong := [each for each in kernels if not isinstance(each, Kernel) or not _is_time(each.ms)]:
            raise failed(self._plugin, f"its profile holds {wrong[0]!r}, which is no Kernel with a time")
        return kernels

    def _checked_conditions(self, choice: RuntimeChoice) -> Conditions:
        found = told(self._plugin, "it does not tell its conditions", lambda: self._runtime.conditions)
        if not isinstance(found, Conditions):
            raise failed(self._plugin, f"its conditions are no Conditions, but {type(found).__name__}")
        for name in ("runtime", "provider", "threads", "batch", "precision"):
            if getattr(found, name) != getattr(choice, name):
                why = f"asked for {name} {getattr(choice, name)}, it would measure with {getattr(found, name)}"
                raise failed(self._plugin, why)
        return found


class AddedSession:
    def __init__(self, plugin: Plugin, session: Session) -> None:
        self._plugin, self._session = plugin, session

    def time_ms(self, repeats: int) -> list[float]:
        times = told(self._plugin, "a run failed", lambda: [float(ms) for ms in self._session.time_ms(repeats)])
        if len(times) != repeats or not all(_is_time(ms) and ms > 0 for ms in times):
            raise failed(self._plugin, f"{repeats} runs were asked for, and these are the times that it tells: {times}")
        return times

    def close(self) -> None:
        told(self._plugin, "it cannot be closed", self._session.close)


def told(plugin: Plugin, doing: str, act: Callable[[], T]) -> T:
    """What `act` answers. Raises MeasurementFailed for whatever it raises."""
    try:
        with plugin.blamed(doing):
            return act()
    except PluginFailed as error:
        raise MeasurementFailed(plugin.name, str(error)) from error


def failed(plugin: Plugin, why: str) -> MeasurementFailed:
    return MeasurementFailed(plugin.name, str(plugin.failed(why)))


def _is_time(ms: float) -> bool:
    return math.isfinite(ms) and ms >= 0
