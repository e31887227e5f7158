"""Which channel counts a search may visit, and the smallest network it can reach. Needs no torch."""

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from adapt.graph.pruning import ChannelGroup
from adapt.spec import Settings


def selected_groups(groups: Sequence[ChannelGroup], settings: Settings) -> tuple[ChannelGroup, ...]:
    """The groups that the search may shrink: prunable, and named by `include` and not by `exclude` (globs)."""

    def named(group: ChannelGroup, patterns: Sequence[str]) -> bool:
        return any(fnmatchcase(layer, pattern) for layer in group.layers for pattern in patterns)

    return tuple(
        group
        for group in groups
        if group.prunable
        and (not settings.include or named(group, settings.include))
        and not named(group, settings.exclude)
    )


def counts_of(group: ChannelGroup, *, multiple: int, minimum: int) -> list[int]:
    """Every count that the rounding allows, ascending, and last all channels; these alone when it is not prunable.

    The filters of a layer are then a multiple of `multiple`, at least `minimum`; a channel of a grouped convolution
    is several of them.
    """
    if not group.prunable:
        return [group.channels]
    each = group.filters_each
    step = math.lcm(multiple // math.gcd(multiple, each), group.channel_multiple)
    fewest = 1 if each == 1 else 2  # a grouped convolution with one group, or one channel in each, is of another kind
    least = math.ceil(max(minimum / each, fewest) / step) * step
    return [*range(least, group.channels, step), group.channels]


def smaller_counts(group: ChannelGroup, current: int, settings: Settings) -> list[int]:
    """Counts of the rounding below `current` that a proposal may have, largest first: at most `largest_share` of the
    filters are given up."""
    least = math.ceil(current * (1 - settings.largest_share))
    return [count for count in reversed(_allowed(group, settings)) if least <= count < current]


def smallest_counts(groups: Sequence[ChannelGroup], settings: Settings) -> Mapping[str, int]:
    """Channel counts of the smallest network that a search with these settings can reach."""
    chosen = {group.id for group in selected_groups(groups, settings)}
    return {group.id: _allowed(group, settings)[0] if group.id in chosen else group.channels for group in groups}


def _allowed(group: ChannelGroup, settings: Settings) -> list[int]:
    return counts_of(group, multiple=settings.round_channels_to, minimum=settings.min_channels)
