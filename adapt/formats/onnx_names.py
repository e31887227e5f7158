"""Names for what an ONNX file calls as it likes: values, and weights as a state_dict has them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from adapt.graph.network import Graph, Network, Node

_ODD = re.compile(r"[^A-Za-z0-9_]+")
_PATH = re.compile(r"[A-Za-z0-9_]{1,100}(?:\.[A-Za-z0-9_]{1,100}){0,15}")
_OURS = "weights/"  # adapt/formats/onnx_writer.py
_EXPORTERS = "onnx::"  # how torch's exporter begins the names of tensors that it made itself
_LONGEST = 100
_TAKEN_BY_TORCH = re.compile(
    r"(?:.+\.)?(?:forward|train|training|eval|type|to|float|double|half|bfloat16|apply|compile|children|modules|buffers"
    r"|parameters|cpu|cuda|state_dict|zero_grad|requires_grad_)(?:\..+)?"
)


class ValueNames:
    """Hands out names that a value of ours may have, each once, near to those in the file."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def free(self, wanted: str) -> str:
        base = _identifier(wanted)
        name, count = base, 1
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name


def _identifier(text: str) -> str:
    name = _ODD.sub("_", text).strip("_")[:_LONGEST] or "value"
    return f"v{name}" if name[0].isdigit() else name


def scope_path(node_name: str) -> str:
    """The module's path from torch's "/features/features.1/body/body.0/Conv": features.1.body.0; "" for other names."""
    if not node_name.startswith("/"):
        return ""
    parts: list[str] = []
    for part in node_name.strip("/").split("/")[:-1]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts[-1] = part
        else:
            parts.append(part)
    path = ".".join(parts)
    return path if _PATH.fullmatch(path) and len(path) <= 200 else ""


def with_state_dict_names(network: Network, sources: Mapping[str, str]) -> Network:
    """The network with its weights named `<path>.<role>`, every path a node's own.

    `sources` says for each weight what it was called in the file: torch's names ("features.0.weight") stay. Else the
    path is the module's, as far as the file tells it, or made of the weight's own name.
    """
    chosen: dict[str, str] = {}
    taken: set[str] = set()
    layers = {tuple(node.weights.values()): node for node in reversed(network.graph.nodes) if node.weights}
    ordered = [node for node in network.graph.nodes if layers.get(tuple(node.weights.values())) is node]
    for node in ordered:
        path = _stated_path(node, sources)
        if path and _is_free(path, taken):
            chosen[node.name] = path
            taken.add(path)
    for node in ordered:
        if node.name not in chosen:
            chosen[node.name] = next(path for path in _proposals(node, sources) if _is_free(path, taken))
            taken.add(chosen[node.name])
    for node in network.graph.nodes:  # a layer that is applied again is called as it was the first time
        if node.weights:
            chosen[node.name] = chosen[layers[tuple(node.weights.values())].name]
    return _renamed(network, chosen)


def _stated_path(node: Node, sources: Mapping[str, str]) -> str:
    """The path that torch's names give to all weights of the node; a bias that something else merged into it aside."""
    for role in ("weight", "running_mean"):
        name = sources.get(node.weights.get(role, ""), "").removeprefix(_OURS)
        path = name.removesuffix(f".{role}")
        if path != name and _PATH.fullmatch(path):
            return path
    return ""


def _proposals(node: Node, sources: Mapping[str, str]) -> Iterator[str]:
    source = next((sources[name] for name in node.weights.values() if sources.get(name)), "")
    own = "" if source.startswith(_EXPORTERS) else _identifier(source.removeprefix(_OURS)) if source else ""
    for base in (node.layer, own, node.name):
        if base:
            yield base
    count = 2
    while True:
        yield f"{node.name}_{count}"
        count += 1


def _is_free(path: str, taken: set[str]) -> bool:
    """Whether a module can live there: no other does, none above it has weights, and torch needs no such name."""
    if _TAKEN_BY_TORCH.fullmatch(path):
        return False
    parts = path.split(".")
    above = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return not above & taken and not any(other.startswith(f"{path}.") for other in taken)


def _renamed(network: Network, paths: Mapping[str, str]) -> Network:
    names = {name: f"{paths[node.name]}.{role}" for node in network.graph.nodes for role, name in node.weights.items()}
    nodes = tuple(
        replace(
            node,
            weights={role: names[name] for role, name in node.weights.items()},
            layer=node.layer or paths.get(node.name, ""),
        )
        for node in network.graph.nodes
    )
    shapes = {names[name]: shape for name, shape in network.graph.weight_shapes.items()}
    graph: Graph = replace(network.graph, nodes=nodes, weight_shapes=shapes)
    return Network(graph, {names[name]: tensor for name, tensor in network.weights.items()})
