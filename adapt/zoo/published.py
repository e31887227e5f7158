"""Weights for a zoo name: a .safetensors state_dict, named as the published network names its layers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from adapt.checkpoint import network_format
from adapt.errors import FormatRefused, NetworkRefused
from adapt.formats.archive import open_archive
from adapt.formats.safetensors_file import carries_architecture, read_state, read_state_shapes
from adapt.formats.tensors import check_values
from adapt.graph.network import Graph, Network, Shape
from adapt.zoo.architecture import MAX_CHANNELS, MAX_CLASSES, Architecture, ArchitectureDoesNotFit
from adapt.zoo.catalogue import ARCHITECTURES, get_architecture
from adapt.zoo.state_names import COUNTER, file_names

Shapes = Mapping[str, Shape]


def read_published(path: Path, name: str) -> Network:
    """The architecture `name` with the file's weights, checked as a stranger's; classes and input channels are those
    of the weights, the image size is the name's.

    Raises ArchitectureNotFound, FormatRefused where the file is of another kind, NetworkRefused naming a tensor that
    is missing, that the architecture does not have, or that has another shape.
    """
    architecture = get_architecture(name)
    kind = network_format(path)
    if kind == "pt2":
        with open_archive(path):
            pass  # a checkpoint of torch.save is a zip archive too, and is told what to do instead
    if kind != "safetensors":
        raise FormatRefused("", f"a .{kind} file carries its own structure; leave out `architecture`")
    if carries_architecture(path):
        raise FormatRefused("header", "the file carries its own architecture; leave out `architecture`")
    stored = read_state_shapes(path)
    try:
        graph, names = _fit(architecture, stored)
    except NetworkRefused as refused:
        raise NetworkRefused(refused.where, refused.why + _hint(architecture, stored)) from refused
    tensors = read_state(path, {names[key]: shape for key, shape in graph.weight_shapes.items() if key in names})
    weights = {key: _weight(tensors, names, key) for key in graph.weight_shapes}
    check_values(graph, weights)
    return Network(graph, weights)


def refuse_unnamed(path: Path) -> NoReturn:
    """Raises FormatRefused for a state_dict that came without an architecture's name; it says which one fits."""
    fitting = _fitting(read_state_shapes(path))
    which = f"; its tensors are those of {' or '.join(fitting)}" if fitting else ""
    raise FormatRefused(
        "header",
        f"holds weights without a network{which}; name the network in `architecture`, where the zoo has it, "
        "or send a .pt2",
    )


def _fit(architecture: Architecture, stored: Shapes) -> tuple[Graph, Mapping[str, str]]:
    """The graph that these tensors are the weights of, and the file's name of each. Raises NetworkRefused."""
    try:
        names = file_names(architecture, stored)
        shapes = {key: stored[name] for key, name in names.items()}
        usual = architecture.published_graph()
        _check_names(usual, names, architecture.name)
        graph = _sized(architecture, usual, shapes)
    except ArchitectureDoesNotFit as error:
        raise NetworkRefused("architecture", str(error)) from error
    for key, shape in graph.weight_shapes.items():
        if key in shapes and shapes[key] != shape:
            why = f"has the shape {list(shapes[key])}, {architecture.name} has {list(shape)}"
            raise NetworkRefused(names[key], why)
    return graph, names


def _check_names(graph: Graph, names: Mapping[str, str], name: str) -> None:
    missing = [key for key in graph.weight_shapes if key not in names and not key.endswith(COUNTER)]
    extra = sorted(names[key] for key in names.keys() - graph.weight_shapes.keys())
    if missing:
        instead = f"; the file has {_quoted(extra[0])}, which is no tensor of {name}" if extra else ""
        raise NetworkRefused(missing[0], f"is missing: {name} has it{instead}")
    if extra:
        raise NetworkRefused(_quoted(extra[0]), f"is no tensor of {name}")


def _sized(architecture: Architecture, usual: Graph, shapes: Shapes) -> Graph:
    """Built for as many classes and input channels as the file's first and last layers have."""
    stem, head = usual.nodes[0].weights["weight"], f"{architecture.family.head}.weight"
    if len(shapes[stem]) != 4 or not 1 <= shapes[stem][1] <= MAX_CHANNELS:
        raise NetworkRefused(stem, f"has the shape {list(shapes[stem])}; up to {MAX_CHANNELS} channels are read")
    if not shapes[head] or not 2 <= shapes[head][0] <= MAX_CLASSES:
        raise NetworkRefused(head, f"has the shape {list(shapes[head])}; 2 to {MAX_CLASSES} classes are allowed")
    _, height, width = architecture.image_shape
    return architecture.published_graph(shapes[head][0], (shapes[stem][1], height, width))


def _hint(architecture: Architecture, stored: Shapes) -> str:
    fitting = [name for name in _fitting(stored) if name != architecture.name]
    if fitting:
        return f"; the file's tensors are those of {' or '.join(fitting)}"
    return "; a network of another structure, or with other names, can be sent as a .pt2"


def _fitting(stored: Shapes) -> Sequence[str]:
    """The listed architectures, at their papers' own resolution, that these tensors are weights of."""
    rows = (row for row in ARCHITECTURES.values() if row.image_shape == row.family.image_shape)
    return [row.name for row in rows if _fits(row, stored)]


def _fits(architecture: Architecture, stored: Shapes) -> bool:
    try:
        _fit(architecture, stored)
    except NetworkRefused:
        return False
    return True


def _weight(tensors: Mapping[str, NDArray[Any]], names: Mapping[str, str], key: str) -> NDArray[Any]:
    """As the graph needs it: counters, which a state_dict cast as a whole has as floats too, are integers."""
    if not key.endswith(COUNTER):
        return tensors[names[key]]
    return tensors[names[key]].astype(np.int64) if key in names else np.zeros((), dtype=np.int64)


def _quoted(name: str) -> str:
    return ascii(name[:200])[1:-1]
