"""A .pt2 file that a user loads with plain torch.export.load, without our code."""

import io
import warnings
from collections.abc import Collection
from dataclasses import replace
from keyword import iskeyword

import torch
from torch.export import Dim, export, save

from adapt.graph.network import Network
from adapt.modules import build_module


def write_pt2(network: Network) -> bytes:
    """The network in evaluation mode as torch.export.save writes it, with a dynamic batch.

    A layer called by a word of Python (an `in` of a ModuleDict) gets an underscore: torch splices its name into code.
    Raises NetworkRefused where shapes do not fit.
    """
    module = build_module(_without_keywords(network)).eval()
    images = torch.zeros(2, *network.graph.input_shape)  # two: a batch of one would be taken for a fixed size
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own deprecations, none of which a user can act upon
        program = export(module, (images,), dynamic_shapes=({0: Dim("batch")},))
        program.example_inputs = None  # they would be pickled into the file
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # paths of this machine, which would also change the bytes
        save(program, buffer)
    return buffer.getvalue()


def _without_keywords(network: Network) -> Network:
    names = {name: _spliced(name, network.graph.weight_shapes) for name in network.graph.weight_shapes}
    nodes = tuple(
        replace(node, weights={role: names[name] for role, name in node.weights.items()})
        for node in network.graph.nodes
    )
    shapes = {names[name]: shape for name, shape in network.graph.weight_shapes.items()}
    graph = replace(network.graph, nodes=nodes, weight_shapes=shapes)
    return Network(graph, {names[name]: tensor for name, tensor in network.weights.items()})


def _spliced(name: str, taken: Collection[str]) -> str:
    """`name` with every keyword in its path changed, to one that no other weight has."""
    parts, suffix = name.split("."), "_"
    if not any(map(iskeyword, parts)):
        return name
    while (changed := ".".join(part + suffix if iskeyword(part) else part for part in parts)) in taken:
        suffix += "_"
    return changed
