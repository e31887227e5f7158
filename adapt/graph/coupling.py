"""From tied layers to channel groups: which ties can be pruned, and why the others cannot. Needs no torch."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from adapt.graph.kinds import Topology
from adapt.graph.network import Graph, Node
from adapt.graph.pruning import ChannelGroup, Slice
from adapt.graph.shapes import infer_shapes, layer_name

_SINGLE = "it has a single channel"
_UNEVEN = "its channels are tied to another layer's only in part, or to several of its channels at once"


@dataclass(frozen=True, kw_only=True)
class Owned:
    """Along `axis` of `tensor`, channel -> the ascending positions it owns. `filters` as in `Slice`."""

    tensor: str
    axis: int
    filters: bool
    positions: Mapping[int, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Entering:
    """Channel -> its positions among the input channels of the grouped convolution `weight`."""

    weight: str
    positions: Mapping[int, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Coupling:
    """What is tied to the output channels of the layer whose weight is `root`; `reason` says why they must stay."""

    root: str
    channels: int
    owned: tuple[Owned, ...]
    reason: str | None = None
    entering: tuple[Entering, ...] = ()

    @property
    def producers(self) -> set[str]:
        """Weights of the layers that make these channels."""
        return {self.root, *(part.tensor for part in self.owned if part.filters)}


class Layers:
    """The convolutions and linear layers of a graph by the name of their weight, in topological order."""

    def __init__(self, graph: Graph) -> None:
        self.shapes = infer_shapes(graph)
        self.weight_shapes = graph.weight_shapes
        self.nodes = _mixing_nodes(graph)
        self.rank = {weight: index for index, weight in enumerate(self.nodes)}
        uses = Counter(name for node in graph.nodes for name in node.weights.values())
        self.shared = frozenset(name for name, count in uses.items() if count > 1)
        mixing = [n.name for n in graph.nodes if n.operator in ("conv2d", "linear") and not self._hands_on(n)]
        self.topology = Topology(graph, mixing)
        self._names = layer_names(graph)

    def hands_on(self, weight: str) -> bool:
        """True for a depthwise convolution: channel c of the input is channel c of the output."""
        return self._hands_on(self.nodes[weight])

    def _hands_on(self, node: Node) -> bool:
        filters, per_group, *_ = self.weight_shapes[node.weights["weight"]]
        return node.operator == "conv2d" and per_group == 1 and filters == self.shapes[node.inputs[0]][1] > 1

    def is_grouped(self, weight: str) -> bool:
        """True for a convolution in groups that is not depthwise, or makes several channels of each."""
        return self.groups(weight) > 1 and not self.hands_on(weight)

    def name(self, weight: str) -> str:
        """The layer's path in the user's network; the weight's own path where several layers share the former."""
        return self._names[weight]

    def groups(self, weight: str) -> int:
        """In how many groups a convolution is computed; 1 for a linear layer."""
        if self.nodes[weight].operator == "linear":
            return 1
        return self.shapes[self.nodes[weight].inputs[0]][1] // self.weight_shapes[weight][1]


def layer_names(graph: Graph) -> Mapping[str, str]:
    """Weight -> the path of its convolution or linear layer in the user's network, in topological order; where
    several share a path, the paths of their weights."""
    nodes = _mixing_nodes(graph)
    paths = {weight: weight.removesuffix(".weight") for weight in nodes}
    counts = Counter(layer_name(node) for node in nodes.values())
    names = {w: layer_name(node) if counts[layer_name(node)] == 1 else paths[w] for w, node in nodes.items()}
    return names if len(set(names.values())) == len(names) else paths


def _mixing_nodes(graph: Graph) -> dict[str, Node]:
    """By the name of their weight."""
    return {node.weights["weight"]: node for node in graph.nodes if node.operator in ("conv2d", "linear")}


def judged(coupling: Coupling, layers: Layers) -> Coupling:
    """The coupling, with the reason why it cannot be pruned if there is one."""
    shapes = layers.weight_shapes
    if coupling.reason is not None:
        return coupling
    if coupling.channels < 2:
        return replace(coupling, reason=_SINGLE)
    if not all(_one_to_one(part, coupling.channels, shapes[part.tensor][part.axis]) for part in coupling.owned):
        return replace(coupling, reason=_UNEVEN)
    return coupling


def merged(couplings: Iterable[Coupling]) -> list[Coupling]:
    """Every layer in one coupling: those that share a layer without being the same are tied in a way not understood."""
    result: list[Coupling] = []
    for coupling in couplings:
        for other in [other for other in result if other.producers & coupling.producers]:
            result.remove(other)
            coupling = replace(
                other,
                owned=(*other.owned, *coupling.owned, *_root(coupling)),
                reason=other.reason or coupling.reason or _UNEVEN,
            )
        result.append(coupling)
    return _without_overlaps(result)


def to_groups(couplings: Sequence[Coupling], layers: Layers) -> tuple[ChannelGroup, ...]:
    """In topological order of each group's first layer, whose name is the group's id."""
    ordered = sorted(couplings, key=lambda coupling: min(layers.rank[weight] for weight in coupling.producers))
    return tuple(_group(coupling, layers) for coupling in ordered)


def _one_to_one(part: Owned, channels: int, size: int) -> bool:
    """Every channel owns equally many positions and shares none; the rows of a filter are owned altogether."""
    taken = [position for positions in part.positions.values() for position in positions]
    if set(part.positions) != set(range(channels)) or len(set(taken)) != len(taken):
        return False
    if not all(0 <= position < size for position in taken) or (part.filters and len(taken) != size):
        return False
    return len({len(positions) for positions in part.positions.values()}) == 1


def _root(coupling: Coupling) -> tuple[Owned, ...]:
    """Keeps a root among the producers of the coupling that takes it in."""
    return (Owned(tensor=coupling.root, axis=0, filters=True, positions={}),)


def _without_overlaps(couplings: list[Coupling]) -> list[Coupling]:
    """No position of a tensor may belong to two groups."""
    owners: dict[tuple[str, int, int], set[str]] = defaultdict(set)
    for coupling in couplings:
        for part in coupling.owned:
            for positions in part.positions.values():
                for position in positions:
                    owners[part.tensor, part.axis, position].add(coupling.root)
    shared = {root for roots in owners.values() if len(roots) > 1 for root in roots}
    return [
        replace(coupling, reason=_UNEVEN) if coupling.root in shared and coupling.reason is None else coupling
        for coupling in couplings
    ]


def _group(coupling: Coupling, layers: Layers) -> ChannelGroup:
    producers = sorted(coupling.producers, key=layers.rank.__getitem__)
    consumers = {part.tensor for part in coupling.owned if part.tensor in layers.nodes and not part.filters}
    names = tuple(layers.name(weight) for weight in producers)
    channels = range(coupling.channels)
    return ChannelGroup(
        id=names[0],
        kind=layers.topology.kind(
            [layers.nodes[weight].name for weight in producers], [layers.nodes[weight].name for weight in consumers]
        ),
        layers=names,
        channels=coupling.channels,
        slices=tuple(
            Slice(
                tensor=part.tensor,
                axis=part.axis,
                positions=tuple(part.positions[channel] for channel in channels),
                filters=part.filters,
            )
            for part in (coupling.owned if coupling.reason is None else ())
        ),
        prunable=coupling.reason is None,
        reason=coupling.reason,
    )
