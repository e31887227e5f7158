"""How much each channel of a group matters, and which ones stay. Numpy alone.

Every criterion looks at a whole channel group: what the tied layers have of a channel is joined before channels are
compared. A further criterion is one function of the form of `Criterion`: a row of `CRITERIA`, or an entry point of a
package of your own (adapt.plugins).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from adapt.errors import AdaptError
from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup, Layout
from adapt.plugins import Plugin, load_plugin
from adapt.spec import derive_seed

Figures = NDArray[np.float64]
ByColumn = Mapping[str, Figures]
"""Weight of a layer -> one figure for each of its columns, by which the layer reads channels; [columns]."""


class Evidence(Protocol):
    """What training images say about the network at hand, each found out when it is first asked for.

    The same whenever and wherever it is asked for: it depends on the network, the training images and `seed`, which
    comes from (job seed, iteration).
    """

    @property
    def seed(self) -> int: ...

    def activations(self) -> ByColumn:
        """The mean absolute value of what each column reads."""
        ...

    def saliences(self) -> Sequence[ByColumn]:
        """Of each batch the sum over a column of weight x gradient of the loss."""
        ...


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The network at hand: its tensors, where the channels that are left lie in them, what training images say."""

    network: Network
    layout: Layout
    evidence: Evidence


Criterion = Callable[[ChannelGroup, Subject], Figures]
"""The importance of each channel of the group that is left, [channels left], the larger the more it matters.

Raises ValueError when the tensors have another number of channels than the layout says, or when the group has no slice
plan because it cannot be pruned.
"""


def l1(group: ChannelGroup, subject: Subject) -> Figures:
    """L1 norm of each channel's filters, over all layers of `group` that produce it (Li et al., 2017, section 3.1)."""
    return _summed(np.abs(filters).sum(axis=1) for filters in filters_of(group, subject))


def l2(group: ChannelGroup, subject: Subject) -> Figures:
    """L2 norm of the same filters (NetAdapt, Yang et al., 2018, section 3.3)."""
    return np.sqrt(_summed(np.square(filters).sum(axis=1) for filters in filters_of(group, subject)))


def geometric_median(group: ChannelGroup, subject: Subject) -> Figures:
    """Sum of the distances from a channel's filters to those of all others; the filters of tied layers are one vector.

    Source: FPGM (He et al., 2019), section 3: what lies near the geometric median the others can stand in for.
    """
    squares = (_square_distances(filters) for filters in filters_of(group, subject))
    distances: Figures = np.sqrt(_summed(squares)).sum(axis=1)
    return distances


def taylor(group: ChannelGroup, subject: Subject) -> Figures:
    """The first-order estimate of how far the loss moves when the channel goes, squared, averaged over batches.

    Source: Molchanov et al., 2019, section 3.1. A channel goes when nothing reads it any more, so weight x gradient is
    summed over the columns that read it. Over its own filters it would miss what a batch norm adds, which goes as well.
    """
    of_batches = [_summed(columns_of(group, subject, batch)) for batch in subject.evidence.saliences()]
    mean: Figures = np.square(of_batches).mean(axis=0)
    return mean


def activation(group: ChannelGroup, subject: Subject) -> Figures:
    """Mean absolute activation (Molchanov et al., 2017, section 2.2), as the layers behind read it."""
    return _summed(columns_of(group, subject, subject.evidence.activations(), mean=True))


def random(group: ChannelGroup, subject: Subject) -> Figures:
    """Drawn by seed, iteration and group: the control that any other criterion has to beat."""
    draw = np.random.default_rng(derive_seed(subject.evidence.seed, group.id))
    return draw.random(len(subject.layout.kept[group.id]))


CRITERIA: Mapping[str, Criterion] = {
    "l1": l1,
    "l2": l2,
    "geometric-median": geometric_median,
    "taylor": taylor,
    "activation": activation,
    "random": random,
}


def find_criterion(name: str) -> Criterion:
    """Ours, or the one that an installed package adds. Raises PluginAbsent, PluginFailed."""
    return CRITERIA[name] if name in CRITERIA else _checked(load_plugin("importance", name))


def _checked(plugin: Plugin) -> Criterion:
    """What a package adds, and every call of it: raises PluginFailed where that raises, or answers something else."""

    def criterion(group: ChannelGroup, subject: Subject) -> Figures:
        with plugin.blamed(f"judging the channels of group {group.id}"):
            figures = np.asarray(plugin.value(group, subject), dtype=np.float64)
        left = len(subject.layout.kept[group.id])
        if figures.shape != (left,) or not np.isfinite(figures).all():
            found = (
                f"an array of shape {list(figures.shape)}" if figures.shape != (left,) else "some that are not finite"
            )
            raise plugin.failed(
                f"group {group.id} has {left} channels left, and needs a finite figure for each: {found}"
            )
        return figures

    return criterion


def keep_largest(importance: Figures, count: int) -> tuple[int, ...]:
    """Ascending positions of the `count` largest values; of equal ones those that come first.

    Raises ValueError unless 1 <= count <= len(importance), AdaptError for values that are not finite.
    """
    if not 1 <= count <= len(importance):
        raise ValueError(f"{count} of {len(importance)} channels cannot be kept")
    if not np.isfinite(importance).all():
        raise AdaptError(
            "importance: that of a channel is not finite: the network's weights, or what they make of training images, "
            "are too large; where training made them so, a lower learning_rate avoids that"
        )
    order = np.argsort(-importance, kind="stable")
    return tuple(sorted(order[:count].tolist()))


def filters_of(group: ChannelGroup, subject: Subject) -> Iterator[Figures]:
    """Of each layer that produces the channels what it has of each: [channels left, weights of its filters].

    Raises ValueError for a group without filters.
    """
    parts = [part for part in group.slices if part.filters]
    if not parts:
        raise ValueError(f"group {group.id} has no filters to compare: {group.reason}")
    for part in parts:
        rows = np.moveaxis(subject.network.weights[part.tensor], part.axis, 0)
        places = subject.layout.places(group, part, len(rows))
        yield rows.reshape(len(rows), -1)[places].reshape(len(places), -1).astype(np.float64)


def columns_of(group: ChannelGroup, subject: Subject, found: ByColumn, *, mean: bool = False) -> Iterator[Figures]:
    """Of each layer that reads the channels the figures of each one's columns, summed or averaged: [channels left].

    Raises ValueError for a group that no layer reads by columns.
    """
    parts = [part for part in group.slices if part.axis == 1 and part.tensor in found]
    if not parts:
        raise ValueError(f"group {group.id} has no layer that reads its channels: {group.reason}")
    for part in parts:
        columns = found[part.tensor]
        columns = columns[subject.layout.places(group, part, len(columns))]
        yield columns.mean(axis=1) if mean else columns.sum(axis=1)


def _square_distances(filters: Figures) -> Figures:
    """[n, n]. One thread: several sum in another order, and runs would differ in the last bit."""
    with threadpool_limits(1, "blas"):
        products = filters @ filters.T
    squares = np.diagonal(products)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * products, 0.0)
    np.fill_diagonal(distances, 0.0)  # where rounding leaves something
    return distances


def _summed(figures: Iterator[Figures]) -> Figures:
    return reduce(np.add, figures)
