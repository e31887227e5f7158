"""Whose time a kernel's is: from the runtime's profile back to the units of the graph.

Runtimes fuse nodes, rename what they fused, and put kernels of their own (changes of memory layout) between. A kernel
belongs to the unit of the node whose name it carries; one that carries none is a preparation for the next that does,
and is counted there, unless it hands on what the last one made: then the unit that reads this asked for it. So every
microsecond is somebody's, and what cannot be is named overhead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from adapt.formats.onnx_writer import OUTPUT_NAME
from adapt.graph.network import Graph
from adapt.latency.runtimes.contract import Kernel
from adapt.latency.units import Unit

_FUSED = "fused "
_FINISHES = frozenset({"ReorderOutput"})  # onnxruntime's way back from its own layout, right after the kernel itself


@dataclass(frozen=True, kw_only=True)
class UnitTime:
    """`kernels` ran for a unit and took `ms` together; a unit that was folded away has none."""

    ms: float
    kernels: int


def with_plain_names(graph: Graph) -> Graph:
    """`graph` with nodes called "n0", "n1" ...: no name of a user's can then look like one of the runtime's."""
    names = {node.name: f"n{index}" for index, node in enumerate(graph.nodes)} | {graph.input_name: "image"}
    nodes = tuple(
        replace(node, name=names[node.name], inputs=tuple(names[name] for name in node.inputs)) for node in graph.nodes
    )
    return replace(graph, input_name="image", nodes=nodes, output=names[graph.output])


def attribute(kernels: Sequence[Kernel], units: Sequence[Unit], graph: Graph) -> tuple[list[UnitTime], UnitTime]:
    """The time of each of `units`, in their order, and what belongs to none of them.

    `graph` is theirs, from `with_plain_names` where its own names might look like a runtime's.
    """
    owners: dict[str, int] = {name: index for index, unit in enumerate(units) for name in unit.nodes}
    readers = _readers(graph, owners)
    owners[OUTPUT_NAME] = owners[graph.output]
    found = [UnitTime(ms=0.0, kernels=0) for _ in units]
    waiting: list[Kernel] = []
    last: int | None = None
    for kernel in kernels:
        index = _owner(kernel.name, owners)
        if index is None and kernel.operator in _FINISHES and last is not None:
            reader = readers.get(last, last)
            found[reader] = _plus(found[reader], [kernel])
            continue
        waiting.append(kernel)
        if index is not None:
            found[index] = _plus(found[index], waiting)
            waiting, last = [], index
    if waiting and last is not None:
        found[last] = _plus(found[last], waiting)
        waiting = []
    return found, _plus(UnitTime(ms=0.0, kernels=0), waiting)


def _readers(graph: Graph, owners: Mapping[str, int]) -> dict[int, int]:
    """Of each unit the first that reads what it made."""
    readers: dict[int, int] = {}
    for node in graph.nodes:
        for name in node.inputs:
            if name in owners and owners[name] != owners[node.name]:
                readers.setdefault(owners[name], owners[node.name])
    return readers


def _owner(kernel: str, owners: Mapping[str, int]) -> int | None:
    """Names lose what the runtime or our writer added, "n7_nchwc", "fused n7", "n7/pool", bit by bit."""
    name = kernel.removeprefix(_FUSED)
    while name not in owners:
        shorter = name[: max(name.rfind("_"), name.rfind("/"), 0)]
        if not shorter:
            return None
        name = shorter
    return owners[name]


def _plus(time: UnitTime, kernels: Sequence[Kernel]) -> UnitTime:
    return UnitTime(ms=time.ms + sum(kernel.ms for kernel in kernels), kernels=time.kernels + len(kernels))
