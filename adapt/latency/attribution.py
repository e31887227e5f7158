"""Whose time a kernel's is: from the runtime's profile back to the units of the graph.

Runtimes fuse nodes, rename what they fused, and put kernels of their own (changes of memory layout) between. A kernel
belongs to the unit of the node whose name it carries; one that carries none is a preparation for the next that does,
and is counted there. So every microsecond is somebody's, and what cannot be is named overhead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from adapt.formats.onnx_writer import OUTPUT_NAME
from adapt.graph.network import Graph
from adapt.latency.runtimes.contract import Kernel
from adapt.latency.units import Unit

_FUSED = "fused "


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


def attribute(kernels: Sequence[Kernel], units: Sequence[Unit], output: str) -> tuple[list[UnitTime], UnitTime]:
    """The time of each of `units`, in their order, and what belongs to none of them.

    The units are those of a graph from `with_plain_names`, `output` is its output.
    """
    owners: dict[str, int] = {name: index for index, unit in enumerate(units) for name in unit.nodes}
    owners[OUTPUT_NAME] = owners[output]
    found = [UnitTime(ms=0.0, kernels=0) for _ in units]
    waiting: list[Kernel] = []
    last: int | None = None
    for kernel in kernels:
        waiting.append(kernel)
        index = _owner(kernel.name, owners)
        if index is not None:
            found[index] = _plus(found[index], waiting)
            waiting, last = [], index
    if waiting and last is not None:
        found[last] = _plus(found[last], waiting)
        waiting = []
    return found, _plus(UnitTime(ms=0.0, kernels=0), waiting)


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
