"""Globs on layer names, by which settings choose channel groups. Needs no torch."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from adapt.errors import NoSuchLayer
from adapt.graph.coupling import layer_names
from adapt.graph.network import Graph
from adapt.spec import Settings

_SHOWN = 3  # names in a hint
_HINTS = 5  # looking for near names takes time, and a request may hold hundreds of patterns


def names_one(patterns: Iterable[str], layers: Sequence[str]) -> bool:
    """True when one of the globs matches one of these names."""
    return any(fnmatchcase(layer, pattern) for pattern in patterns for layer in layers)


def check_patterns(graph: Graph, settings: Settings) -> None:
    """Raises NoSuchLayer for the patterns that match no convolution or linear layer of `graph`: a misspelt name in
    `exclude` would otherwise cut what was to stay."""
    names = list(layer_names(graph).values())
    wrong = [(place, pattern) for place, pattern in _patterns(settings) if not names_one([pattern], names)]
    if wrong:
        raise NoSuchLayer(
            tuple(
                (place, pattern, _hint(pattern, names) if number < _HINTS else None)
                for number, (place, pattern) in enumerate(wrong)
            )
        )


def _patterns(settings: Settings) -> Iterator[tuple[tuple[str, str], str]]:
    """Each with where it stands in the settings."""
    for index, pattern in enumerate(settings.include):
        yield ("include", str(index)), pattern
    for index, pattern in enumerate(settings.exclude):
        yield ("exclude", str(index)), pattern
    for pattern in settings.group_limits:
        yield ("group_limits", pattern), pattern


def _hint(pattern: str, names: Sequence[str]) -> str:
    for inner in (f"{pattern}.*", f"{pattern}*", f"*{pattern}", f"*{pattern}*"):
        if found := [name for name in names if fnmatchcase(name, inner)]:
            return f"{inner} matches {_some(found)}"
    by_lower = {name.lower(): name for name in names}
    close = get_close_matches(pattern.lower(), by_lower, n=_SHOWN)
    return f"the nearest are {_some([by_lower[name] for name in close])}" if close else f"there are {_some(names)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
