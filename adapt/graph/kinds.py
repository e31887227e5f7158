"""What a group of tied channels is called: expansion, bottleneck, squeeze, plain or linear. Needs no torch.

Read from the shape of the graph alone, never from layer names: users name their layers as they like.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable

from adapt.graph.network import Graph, Node
from adapt.graph.pruning import Kind

_KEEPS_SIGN = {"batch_norm", "dropout", "identity", "add"}
"""What may stand between a linear bottleneck (MobileNetV2, sec. 3.2) and its consumers."""


class Topology:
    """Who feeds whom in `graph`, where `mixing` names the nodes whose outputs are new channels.

    Those are convolutions and linear layers, but not depthwise convolutions: these hand each channel on.
    """

    def __init__(self, graph: Graph, mixing: Collection[str]) -> None:
        self._nodes = {node.name: node for node in graph.nodes}
        self._order = {name: index for index, name in enumerate((graph.input_name, *self._nodes))}
        self._mixing = frozenset(mixing)
        self._users: dict[str, list[str]] = defaultdict(list)
        self._above: dict[str, int] = {graph.input_name: 1}  # bit i: value i is the value itself or an ancestor
        self._sources: dict[str, frozenset[str]] = {graph.input_name: frozenset({graph.input_name})}
        for node in graph.nodes:
            self._add(node)
        self._joins = [node for node in graph.nodes if self._joins_branches(node)]
        self._residuals = frozenset(node.name for node in self._joins if node.operator == "add")
        self._inside = self._union(self._block(node) for node in self._joins if node.operator == "add")
        self._excites = frozenset(
            source for node in self._joins if node.operator == "mul" for source in self._gate(node)
        )

    def kind(self, producers: Collection[str], consumers: Collection[str]) -> Kind:
        """Kind of the channels that the nodes `producers` make (depthwise ones included) and `consumers` mix again."""
        made = frozenset(producers)
        roots = made & self._mixing
        carried = [self._nodes[name] for name in self._carriers(made)]
        if frozenset(consumers) & self._excites and not made & self._excites:
            return "squeeze"
        if roots and all(self._nodes[name].operator == "linear" for name in roots):
            return "linear"
        if made - roots:
            return "bottleneck" if self._joined(carried) else "expansion"
        if self._joined(carried) or all(node.operator in _KEEPS_SIGN for node in carried):
            return "bottleneck"
        return "expansion" if any(self._inside >> self._order[name] & 1 for name in roots) else "plain"

    def _add(self, node: Node) -> None:
        own = 1 << self._order[node.name]
        self._above[node.name] = own | self._union(self._above[name] for name in node.inputs)
        inherited = frozenset().union(*(self._sources[name] for name in node.inputs))
        self._sources[node.name] = frozenset({node.name}) if node.name in self._mixing else inherited
        for name in node.inputs:
            self._users[name].append(node.name)

    @staticmethod
    def _union(masks: Iterable[int]) -> int:
        union = 0
        for mask in masks:
            union |= mask
        return union

    def _joins_branches(self, node: Node) -> bool:
        """False for x * relu6(x + 3): both operands come from the same layers."""
        return len(node.inputs) == 2 and self._sources[node.inputs[0]] != self._sources[node.inputs[1]]

    def _block(self, node: Node) -> int:
        """Values between a residual sum and the point where its two branches part."""
        first, second = (self._above[name] for name in node.inputs)
        parting = (first & second).bit_length() - 1
        common = next(name for name, index in self._order.items() if index == parting)
        return (first | second) & ~self._above[common]

    def _gate(self, node: Node) -> frozenset[str]:
        """The layers that end a squeeze-and-excite branch: one operand of the product is computed from the other."""
        first, second = node.inputs
        if self._above[second] >> self._order[first] & 1:
            return self._sources[second] - self._sources[first]
        if self._above[first] >> self._order[second] & 1:
            return self._sources[first] - self._sources[second]
        return frozenset()

    def _carriers(self, producers: Iterable[str]) -> set[str]:
        """Nodes behind `producers` that hand their channels on unmixed."""
        found: set[str] = set()
        waiting = list(producers)
        while waiting:
            for user in self._users[waiting.pop()]:
                if user not in self._mixing and user not in found:
                    found.add(user)
                    waiting.append(user)
        return found

    def _joined(self, carried: Iterable[Node]) -> bool:
        return any(node.name in self._residuals for node in carried)
