"""How much each channel of a group matters, and which ones stay. Numpy alone.

Source: NetAdapt (Yang et al., 2018), section 3.3: ChooseWhichFilters keeps the filters of the largest L2 norm.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup


def l2(group: ChannelGroup, network: Network, present: tuple[int, ...]) -> NDArray[np.float64]:
    """L2 norm of each present channel's filters, over all layers of `group` that produce it; [len(present)].

    `present` are the ascending original indices of the channels that `network` still has, so that its tensors are
    in pruned coordinates. Channels whose filters are all zero score 0. Raises ValueError when the tensors have
    another number of channels, or when the group has no slice plan because it cannot be pruned.
    """
    filters = [part for part in group.slices if part.filters]
    if not filters:
        raise ValueError(f"group {group.id} has no filters to compare: {group.reason}")
    squares = np.zeros(len(present), dtype=np.float64)
    for part in filters:
        rows = np.moveaxis(network.weights[part.tensor], part.axis, 0)
        owned = [part.positions[channel] for channel in present]
        if len(rows) != sum(map(len, owned)):
            raise ValueError(
                f"group {group.id}: {part.tensor} has {len(rows)} filters, {len(present)} channels are there"
            )
        norms = np.square(rows.reshape(len(rows), -1).astype(np.float64)).sum(axis=1)
        squares += _by_channel(norms, owned)
    return np.sqrt(squares)


def keep_largest(importance: NDArray[np.float64], count: int) -> tuple[int, ...]:
    """Ascending positions of the `count` largest values; of equal ones those that come first.

    Raises ValueError unless 1 <= count <= len(importance), and for values that are not finite.
    """
    if not 1 <= count <= len(importance):
        raise ValueError(f"{count} of {len(importance)} channels cannot be kept")
    if not np.isfinite(importance).all():
        raise ValueError("the importance of a channel is not finite: the network's weights have diverged")
    order = np.argsort(-importance, kind="stable")
    return tuple(sorted(order[:count].tolist()))


def _by_channel(norms: NDArray[np.float64], owned: Sequence[tuple[int, ...]]) -> NDArray[np.float64]:
    """Sums over each channel's positions. What is left of a tensor keeps the order of the original positions."""
    original = np.array([position for positions in owned for position in positions])
    channel = np.repeat(np.arange(len(owned)), [len(positions) for positions in owned])
    sums = np.zeros(len(owned), dtype=np.float64)
    np.add.at(sums, channel[np.argsort(original)], norms)
    return sums
