"""What one proposal may shrink, which channel counts a search may visit, and the smallest network it can reach. Needs
no torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from adapt.graph.pruning import ChannelGroup
from adapt.layer_patterns import names_one
from adapt.spec import Settings

BLOCK = 16
"""Channels that many kernels work on at once; fewer may take longer."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What one proposal shrinks: channel groups that have the same count of channels, and get the same smaller one.

    Mostly a single group. Each chooses its own filters; the first one names the bundle.
    """

    groups: tuple[ChannelGroup, ...]

    @property
    def id(self) -> str:
        return self.groups[0].id

    @property
    def further(self) -> tuple[str, ...]:
        """The ids of the groups behind the first."""
        return tuple(group.id for group in self.groups[1:])

    def counts(self, filters: int) -> dict[str, int]:
        """Group id -> this count."""
        return {group.id: filters for group in self.groups}


def bundles(groups: Sequence[ChannelGroup], settings: Settings) -> tuple[Bundle, ...]:
    """What the search may shrink: groups that can be pruned and that the settings leave to it, one by one or, where
    the paper's proposals are asked for, all bottlenecks of one size together.

    Source: MobileNetV3 (Howard et al., 2019), section 4.2. The size is the original's, so that what shrinks together
    stays together throughout a job.
    """
    chosen = [group for group in groups if group.prunable and why_left_alone(group, settings) is None]
    if settings.proposals == "groups":
        return tuple(Bundle(groups=(group,)) for group in chosen)
    together: dict[object, list[ChannelGroup]] = {}
    for group in chosen:
        size = (group.channels, group.filters_each) if group.kind == "bottleneck" else group.id
        together.setdefault(size, []).append(group)
    return tuple(Bundle(groups=tuple(members)) for members in together.values())


def why_left_alone(group: ChannelGroup, settings: Settings) -> str | None:
    """The setting, in words, that keeps the search from `group`; None: it may shrink."""
    if settings.include and not names_one(settings.include, group.layers):
        return "not in include"
    if names_one(settings.exclude, group.layers):
        return "in exclude"
    if settings.proposals == "paper" and group.kind not in ("expansion", "bottleneck"):
        return f"{group.kind}, which is none of the paper's proposals"
    return None


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


def smaller_counts(bundle: Bundle, current: int, settings: Settings) -> list[int]:
    """Counts of the rounding below `current` that a proposal may have, largest first: at most `largest_share` of the
    filters are given up, or one step of the rounding where that is more."""
    smaller = counts_below(bundle, current, settings)
    least = _left_of(current, settings.largest_share)
    return [count for count in smaller if count >= least] or smaller[:1]


def counts_below(bundle: Bundle, current: int, settings: Settings) -> list[int]:
    """Every count of the rounding below `current`, largest first, however much one proposal may take."""
    return [count for count in reversed(_allowed(bundle, settings)) if count < current]


def smallest_counts(groups: Sequence[ChannelGroup], settings: Settings) -> Mapping[str, int]:
    """Channel counts of the smallest network that a search with these settings can reach."""
    smallest = {group.id: group.channels for group in groups}
    for bundle in bundles(groups, settings):
        smallest |= bundle.counts(_allowed(bundle, settings)[0])
    return smallest


def least_counts(groups: Sequence[ChannelGroup], settings: Settings) -> tuple[Mapping[str, int], ...]:
    """The smallest network, and where that is another one the smallest in whole blocks of channels: what is measured
    may well be lower there. (0.0142 ms with 16 channels where 8 took 0.0163: onnxruntime, AVX-512.)"""
    smallest = smallest_counts(groups, settings)
    in_blocks = smallest_counts(groups, replace(settings, round_channels_to=math.lcm(settings.rounding, BLOCK)))
    return (smallest,) if in_blocks == smallest else (smallest, in_blocks)


def _allowed(bundle: Bundle, settings: Settings) -> list[int]:
    """Ascending: the counts that every group of the bundle may have; that of the original at least."""
    common = set.intersection(*(set(allowed_counts(group, settings)) for group in bundle.groups))
    return sorted(common)


def allowed_counts(group: ChannelGroup, settings: Settings) -> list[int]:
    """What the rounding, the minimum and the largest share removed leave of `group` by itself, ascending; the last one
    is all channels."""
    minimum, removed = _limits(group, settings)
    least = _left_of(group.channels, removed)
    counts = counts_of(group, multiple=settings.rounding, minimum=minimum)
    return [count for count in counts if count >= least]


def _limits(group: ChannelGroup, settings: Settings) -> tuple[int, float]:
    """`min_channels` and `max_removed` of a group: of the patterns that name it the strictest, else the settings'."""
    named = [limits for pattern, limits in settings.group_limits.items() if names_one([pattern], group.layers)]
    minima = [limits.min_channels for limits in named if limits.min_channels is not None]
    shares = [limits.max_removed for limits in named if limits.max_removed is not None]
    return max(minima, default=settings.min_channels), min(shares, default=settings.max_removed)


def _left_of(count: int, share: float) -> int:
    """How many at least are left when at most `share` is taken; 0.29 of 100 are 29, whatever a float makes of it."""
    return count - math.floor(count * share + 1e-9)
