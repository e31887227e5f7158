"""The weights of a .pt2 file while its graph is read: those in the file, and those that it computes from them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from adapt.errors import NetworkRefused
from adapt.formats.aten import AtenNode, Reference, references, refusing
from adapt.formats.aten_constants import Array, elements, fold, is_foldable
from adapt.formats.aten_respelled import respelled
from adapt.graph.network import Shape

_PASSES = 50
"""How often, on average, a network may go over its weights: to standardise one takes about ten times."""
_TURN = "torch.ops.aten.t.default"
_MATMUL, _MM, _ADDMM = (f"torch.ops.aten.{name}.default" for name in ("matmul", "mm", "addmm"))
_FACTORS = {_MATMUL: ("self", "other"), _MM: ("self", "mat2"), _ADDMM: ("mat1", "mat2")}


def in_parts(nodes: Sequence[AtenNode], weights: Iterable[str]) -> list[tuple[AtenNode, ...]]:
    """Each node as the nodes that it stands for, where `weights` are the values that stand for weights at first."""
    known, parts = set(weights), []
    for node in nodes:
        parts.append(respelled(node, known))
        known.update(part.output for part in parts[-1] if is_foldable(part.target) and known.issuperset(_sources(part)))
    return parts


class FileWeights:
    """Weights by the value that stands for them in the file: a placeholder, or what is computed from placeholders.

    `names` are the placeholders' names, `stored` the shapes by name of what the file holds, `buffers` the names that
    training leaves alone, `load` reads a tensor of the file by its name. `shapes` and `computed` are by the names that
    the graph's layers know: a computed weight takes over the name of the largest one that it is made of, where no
    layer uses that one as it is, so that a standardised `conv1.weight` stays `conv1.weight`.
    """

    def __init__(
        self,
        names: Mapping[str, str],
        stored: Mapping[str, Shape],
        buffers: Iterable[str],
        nodes: Sequence[AtenNode],
        load: Callable[[str], Array],
    ) -> None:
        self._names, self._stored, self._load = dict(names), stored, load
        self.shapes, self.buffers = dict(stored), set(buffers)
        self.computed: dict[str, Array] = {}
        self._results: dict[str, Array] = {}  # by value, as long as a node still needs it
        self._made_of: dict[str, str] = {}  # value -> the largest placeholder behind it, "" for none
        self._handled = 0
        self._most = max(1 << 26, _PASSES * sum(prod(shape) for shape in stored.values()))
        self._left = Counter(name for node in nodes for name in _sources(node))
        self._in_layers = self._used_in_layers(nodes)

    def __contains__(self, value: object) -> bool:
        return value in self._names

    def name(self, value: str, where: str) -> str:
        """The name of a weight that a layer uses. Raises NetworkRefused when the file does not hold it."""
        name = self._names[value]
        if name not in self.shapes:
            raise NetworkRefused(where, f"the weight {name} is not in the file")
        return name

    def counts_batches(self, node: AtenNode) -> bool:
        """`num_batches_tracked += 1` of a network exported in training mode: our own modules do it themselves."""
        counted = node.arguments.get("self")
        if not node.target.startswith("torch.ops.aten.add") or not isinstance(counted, Reference):
            return False
        return self._names.get(counted.name, "").rpartition(".")[2] == "num_batches_tracked"

    def computes(self, node: AtenNode) -> bool:
        """Whether the node computes with weights and numbers alone."""
        return is_foldable(node.target) and all(source in self._names for source in _sources(node))

    def compute(self, node: AtenNode) -> Array:
        """The result, a weight from now on. Raises NetworkRefused naming the layer, also where a network computes
        more of its weights than is sensible."""
        sources = _sources(node)
        shapes = [self._shape(source, node.where) for source in sources]
        given = {name: self._filled_in(value) for name, value in node.arguments.items()}
        with refusing(node):
            result = fold(node.target, given, elements(shapes))
        self._handled += result.size + sum(prod(shape) for shape in shapes)
        if self._handled > self._most:
            raise NetworkRefused(
                node.where, f"{node.target}: more than {self._most} numbers are computed from the network's weights"
            )
        largest = max(sources, key=lambda source: prod(self._shape(source, node.where)), default="")
        made_of = self._made_of[node.output] = self._made_of.get(largest, largest)
        trained = any(self._names[source] not in self.buffers for source in sources)
        self._release(sources)
        name = self._names[node.output] = self._name_for(node.output, made_of)
        if not trained:
            self.buffers.add(name)
        if self._left[node.output]:
            self._results[node.output] = result
        self.shapes[name] = result.shape
        if self._left[node.output] or node.output in self._in_layers:
            self.computed[name] = result
        return result

    def as_linear(self, node: AtenNode) -> AtenNode:
        """x @ w and x @ w + b as the linear layers that they are; any other node as it stands."""
        if node.target not in _FACTORS or node.arguments.keys() & {"alpha", "beta"}:
            return node
        image, matrix = (node.arguments.get(name) for name in _FACTORS[node.target])
        bias = node.arguments.get("self") if node.target == _ADDMM else None
        if not isinstance(matrix, Reference) or not self._is_matrix(matrix.name):
            return node
        turned = Reference(self._free(f"{node.output}_weight"))
        self._in_layers.add(turned.name)
        self.compute(replace(node, target=_TURN, output=turned.name, arguments={"self": matrix}))
        arguments = {"input": image, "weight": turned} | ({} if bias is None else {"bias": bias})
        return replace(node, target="torch.ops.aten.linear.default", arguments=arguments)

    def _free(self, value: str) -> str:
        while value in self._names or self._left[value]:
            value += "_"
        return value

    def _used_in_layers(self, nodes: Sequence[AtenNode]) -> set[str]:
        """The weights, computed ones included, that some node uses together with the images."""
        known, used = set(self._names), set[str]()
        for node in nodes:
            sources = _sources(node)
            if is_foldable(node.target) and known.issuperset(sources):
                known.add(node.output)
            elif node.target not in _FACTORS:
                used.update(sources)
            else:
                used.update(source for source in sources if not self._is_turned(node, source))
        return used

    def _is_turned(self, node: AtenNode, source: str) -> bool:
        matrix = node.arguments.get(_FACTORS[node.target][1])
        return isinstance(matrix, Reference) and matrix.name == source

    def _is_matrix(self, value: str) -> bool:
        return value in self._names and len(self._shape(value, value)) == 2

    def _shape(self, value: str, where: str) -> Shape:
        if value in self._results:
            shape: Shape = self._results[value].shape
            return shape
        name = self.name(value, where)
        return self._stored[name] if value not in self._made_of else self.shapes[name]

    def _filled_in(self, value: Any) -> Any:
        if isinstance(value, Reference):
            if value.name not in self._results:
                self._results[value.name] = self._load(self._names[value.name])
            return self._results[value.name]
        return [self._filled_in(item) for item in value] if isinstance(value, list) else value

    def _release(self, sources: Sequence[str]) -> None:
        """Forgets what no later node needs: a network may turn matrices of hundreds of megabytes, twice."""
        for source in sources:
            self._left[source] -= 1
            gone = self._results.pop(source, None) if self._left[source] <= 0 else None
            if gone is not None and source in self._made_of and source not in self._in_layers:
                self.computed.pop(self._names[source], None)

    def _name_for(self, output: str, made_of: str) -> str:
        name = self._names.get(made_of, "")
        if name and output in self._in_layers and made_of not in self._in_layers and name not in self.computed:
            return name
        while output in self.shapes:
            output += "_"
        return output


def _sources(node: AtenNode) -> list[str]:
    """The names of the tensors that a node reads."""
    return [source.name for value in node.arguments.values() for source in references(value)]
