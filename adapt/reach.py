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


def smaller_counts(group: ChannelGroup, current: int, settings: Settings) -> list[int]:
    """Counts below `current` that a proposal may have, largest first: multiples of the rounding (and of the step
    that grouped convolutions impose), at least `min_channels`, at most `largest_share` of the filters given up."""
    step = math.lcm(settings.round_channels_to, group.channel_multiple)
    least = max(
        math.ceil(max(settings.min_channels, 1) / step) * step, math.ceil(current * (1 - settings.largest_share))
    )
    largest = (current - 1) // step * step
    return [count for count in range(largest, 0, -step) if count >= least]


def smallest_count(group: ChannelGroup, settings: Settings) -> int:
    """The least count that any number of iterations can leave of a group; its own when it cannot shrink."""
    step = math.lcm(settings.round_channels_to, group.channel_multiple)
    least = math.ceil(max(settings.min_channels, 1) / step) * step
    return min(least, group.channels)


def smallest_counts(groups: Sequence[ChannelGroup], settings: Settings) -> Mapping[str, int]:
    """Channel counts of the smallest network that a search with these settings can reach."""
    chosen = {group.id for group in selected_groups(groups, settings)}
    return {group.id: smallest_count(group, settings) if group.id in chosen else group.channels for group in groups}
