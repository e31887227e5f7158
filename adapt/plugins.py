"""What other installed packages add to ours without a fork: criteria, resources and runtimes, by their entry points.

A package says in its own pyproject.toml what it has, `[project.entry-points."netadapt.importances"]` for a criterion.
Names are read from what is installed and nothing is imported for them, so the service can check a request by them; what
stands behind a name is imported where it is used: in workers, in their child processes, in `netadapt.run`. A package
that is broken spoils its own names and no others. Needs no torch.
"""

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any, Literal, get_args

from adapt.errors import AdaptError, PluginAbsent, PluginFailed
from adapt.latency.runtimes.choice import RuntimeName
from adapt.spec import RESOURCES, Importance

Kind = Literal["importance", "resource", "runtime"]
GROUPS: Mapping[Kind, str] = {
    "importance": "netadapt.importances",
    "resource": "netadapt.resources",
    "runtime": "netadapt.runtimes",
}
OURS: Mapping[Kind, tuple[str, ...]] = {
    "importance": get_args(Importance),
    "resource": RESOURCES,
    "runtime": get_args(RuntimeName),
}
# Reported like a resource, and no budget (adapt.budget.NO_PEAK_BUDGET): nobody may give the name another meaning.
_TAKEN: Mapping[Kind, frozenset[str]] = {kind: frozenset({*names, "peak_memory_bytes"}) for kind, names in OURS.items()}
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")  # in JSON, on the command line and as a heading of a table
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plugin:
    """What an entry point names, imported; `package` is the distribution that brings it, with its version."""

    kind: Kind
    name: str
    package: str
    value: Any

    def failed(self, why: str) -> PluginFailed:
        return PluginFailed(self.kind, self.name, self.package, why)

    @contextmanager
    def blamed(self, doing: str) -> Iterator[None]:
        """Whatever goes wrong meanwhile is told as this plug-in's fault. Raises PluginFailed; our errors pass."""
        try:
            yield
        except AdaptError:
            raise
        except (Exception, SystemExit) as error:  # a stranger's code, which must not end a worker
            raise self.failed(f"{doing}: {type(error).__name__}: {error}") from error


def names(kind: Kind) -> tuple[str, ...]:
    """Ours first, then those of other packages, in the order of the alphabet."""
    return (*OURS[kind], *sorted(_found(tuple(sys.path))[kind]))


def load_plugin(kind: Kind, name: str) -> Plugin:
    """Imports what another package calls `name`. Raises PluginAbsent, PluginFailed."""
    offers = _found(tuple(sys.path))[kind].get(name, [])
    if not offers:
        raise PluginAbsent(kind, name, names(kind))
    packages = " and ".join(package for package, _ in offers)
    plugin = Plugin(kind, name, packages, None)
    if len(offers) > 1:
        raise plugin.failed("each brings one of this name; uninstall all but one")
    (_, entry) = offers[0]
    with plugin.blamed(f"cannot be imported ({entry.value})"):
        value = entry.load()
    if not callable(value):
        raise plugin.failed(f"{entry.value} is no function or class, but {type(value).__name__}")
    return Plugin(kind, name, packages, value)


@lru_cache(maxsize=8)
def _found(path: tuple[str, ...]) -> Mapping[Kind, dict[str, list[tuple[str, EntryPoint]]]]:
    """By kind and name the packages that offer it. `path` is where Python looks for packages: once for each."""
    found: dict[Kind, dict[str, list[tuple[str, EntryPoint]]]] = {kind: {} for kind in GROUPS}
    seen: set[str] = set()
    for package in distributions():
        for kind, entry in _offers(package):
            title = f"{package.name} {package.version}"
            if package.name not in seen and _is_usable(kind, entry, title):
                found[kind].setdefault(entry.name, []).append((title, entry))
        seen.add(package.name)  # of one that is found twice the first counts, as it does when it is imported
    return found


def _offers(package: Distribution) -> list[tuple[Kind, EntryPoint]]:
    try:
        return [
            (kind, entry) for entry in package.entry_points for kind, group in GROUPS.items() if entry.group == group
        ]
    except Exception as error:  # entry_points.txt may hold anything, and its reader raises whatever comes of it
        log.warning("the entry points of %s cannot be read: %s", package.name, error)
        return []


def _is_usable(kind: Kind, entry: EntryPoint, package: str) -> bool:
    """Says in the log why not."""
    if entry.name in _TAKEN[kind]:
        log.warning("%s %r of %s is left out: the name is ours", kind, entry.name, package)
        return False
    if not _NAME.fullmatch(entry.name):
        why = "names begin with a-z, and have up to 64 of a-z, 0-9, _ and -"
        log.warning("%s %r of %s is left out: %s", kind, entry.name, package, why)
        return False
    return True
