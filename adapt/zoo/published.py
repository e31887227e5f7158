"""Weights for a zoo name: a .safetensors state_dict, named as the published network names its layers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapt.errors import FormatRefused, NetworkRefused
from adapt.formats.safetensors_file import carries_architecture, read_state, read_state_shapes
from adapt.formats.tensors import check_values
from adapt.graph.network import Graph, Network, Shape
from adapt.zoo.architecture import MAX_CHANNELS, MAX_CLASSES, Architecture, ArchitectureDoesNotFit
from adapt.zoo.catalogue import get_architecture

COUNTER = ".num_batches_tracked"
"""What older files lack: it says how often a batch norm was trained, and nothing here reads it."""


def read_published(path: Path, name: str) -> Network:
    """The architecture `name` with the file's weights, checked as a stranger's; classes and input channels are those
    of the weights, the image size is the name's.

    Raises ArchitectureNotFound, FormatRefused where the file is of another kind, NetworkRefused naming a tensor that
    is missing, that the architecture does not have, or that has another shape.
    """
    architecture = get_architecture(name)
    with path.open("rb") as stream:
        if stream.read(9)[8:] != b"{":
            raise FormatRefused("", f"weights for {name} are read from a .safetensors file; leave out `architecture`")
    if carries_architecture(path):
        raise FormatRefused("header", "the file carries its own architecture; leave out `architecture`")
    family = architecture.family
    shapes = {key: shape for key, shape in read_state_shapes(path).items() if not key.startswith(family.training_only)}
    try:
        graph = _graph_of(architecture, shapes)
    except ArchitectureDoesNotFit as error:
        raise NetworkRefused("architecture", str(error)) from error
    _check_same(graph, shapes, name)
    tensors = read_state(path, {key: shape for key, shape in graph.weight_shapes.items() if key in shapes})
    weights = {key: tensors.get(key, _no_batches()) for key in graph.weight_shapes}
    check_values(graph, weights)
    return Network(graph, weights)


def _graph_of(architecture: Architecture, shapes: Mapping[str, Shape]) -> Graph:
    """Built for as many classes and input channels as the file's first and last layers have."""
    usual = architecture.graph()
    stem, head = usual.nodes[0].weights["weight"], f"{architecture.family.head}.weight"
    for name in (stem, head):
        if name not in shapes:
            raise NetworkRefused(name, f"is missing: {architecture.name} has it")
    if len(shapes[stem]) != 4 or not 1 <= shapes[stem][1] <= MAX_CHANNELS:
        raise NetworkRefused(stem, f"has the shape {list(shapes[stem])}; up to {MAX_CHANNELS} channels are read")
    if not shapes[head] or not 2 <= shapes[head][0] <= MAX_CLASSES:
        raise NetworkRefused(head, f"has the shape {list(shapes[head])}; 2 to {MAX_CLASSES} classes are allowed")
    _, height, width = architecture.image_shape
    return architecture.graph(shapes[head][0], (shapes[stem][1], height, width))


def _check_same(graph: Graph, shapes: Mapping[str, Shape], name: str) -> None:
    for key, shape in graph.weight_shapes.items():
        if key not in shapes and not key.endswith(COUNTER):
            raise NetworkRefused(key, f"is missing: {name} has it")
        if key in shapes and shapes[key] != shape:
            raise NetworkRefused(key, f"has the shape {list(shapes[key])}, {name} has {list(shape)}")
    if extra := sorted(shapes.keys() - graph.weight_shapes.keys()):
        raise NetworkRefused(ascii(extra[0][:200])[1:-1], f"is no tensor of {name}")


def _no_batches() -> NDArray[Any]:
    return np.zeros((), dtype=np.int64)
