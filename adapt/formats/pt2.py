"""The safe reader of .pt2 files as torch.export.save writes them: zip, JSON and raw bytes, no torch, no execution.

What torch's own loader would run on load (pickled samples and weights, symbolic expressions, tree specs, compiled
code, names spliced into Python) is not looked at, or refused.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapt.errors import FormatRefused, NetworkRefused
from adapt.formats.archive import Archive, open_archive
from adapt.formats.aten_constants import Array
from adapt.formats.pt2_graph import MODEL, SCHEMA_MAJOR, GraphReader, Signature
from adapt.formats.pt2_weights import PICKLED_WEIGHTS, entry_name, read_config, read_tensor, read_tensors, tensor_meta
from adapt.formats.strict_json import MAX_JSON_BYTES, member, parse_object
from adapt.formats.tensors import check_values
from adapt.graph.network import Graph, Network, Shape
from adapt.graph.ownership import with_owned_weights
from adapt.graph.patterns import canonical
from adapt.graph.shapes import check_classifier, check_images_apart


def read_pt2(path: Path) -> Network:
    """A network from a stranger's .pt2 file: one image [N, C, H, W] in, [N, classes] out, float32.

    Raises FormatRefused (another kind of file), UnsupportedOperator or NetworkRefused, each naming the entry,
    layer or weight at fault.
    """
    with open_archive(path) as archive:
        _check_container(archive)
        document = parse_object(archive.read(MODEL, MAX_JSON_BYTES), MODEL)
        _check_schema(document)
        config = read_config(archive)
        graph, computed = _read_graph(document, config, lambda name: read_tensor(archive, config, name))
        stored = [name for name in graph.weight_shapes if name not in computed]
        _check_not_shared({name: entry_name(config, name) for name in stored})
        tensors = {**read_tensors(archive, config, stored), **computed}
    return _finish(graph, tensors)


def _check_container(archive: Archive) -> None:
    models = [name for name in archive.names() if name.startswith("models/")]
    if models != [MODEL]:
        raise NetworkRefused("", f"the archive holds {len(models)} models, one is expected")
    if PICKLED_WEIGHTS in archive.names():
        raise FormatRefused(
            PICKLED_WEIGHTS,
            "is a pickle, as torch 2.8 wrote it, and nothing is ever unpickled; export with torch 2.9 on",
        )
    if archive.read("byteorder", 16) != b"little":
        raise NetworkRefused("byteorder", "only little-endian files are read")
    if archive.read("archive_format", 16) != b"pt2":
        raise NetworkRefused("archive_format", "must be pt2")


def _check_schema(document: dict[str, Any]) -> None:
    major = member(member(document, "schema_version", dict, MODEL), "major", int, MODEL)
    if major != SCHEMA_MAJOR:
        raise FormatRefused(MODEL, f"schema version {major} is not read; torch 2.13 writes version {SCHEMA_MAJOR}")


def _read_graph(
    document: dict[str, Any], config: dict[str, Any], load: Callable[[str], Array]
) -> tuple[Graph, dict[str, Array]]:
    """The canonical graph, and those of its weights that the network computes from others."""
    signature = Signature(member(document, "graph_module", dict, MODEL))
    shapes: dict[str, Shape] = {}
    for name in signature.weights.values():
        if name in config:
            shapes[name] = tensor_meta(member(config[name], "tensor_meta", dict, name), name).shape
    reader = GraphReader(document, signature, shapes, load)
    graph = canonical(reader.read())
    check_classifier(graph, check_images_apart(graph))
    return graph, {name: array for name, array in reader.weights.computed.items() if name in graph.weight_shapes}


def _check_not_shared(entries: dict[str, str]) -> None:
    owners: dict[str, str] = {}
    for name, entry in entries.items():
        if entry in owners:
            raise NetworkRefused(name, f"shares its memory with {owners[entry]}; shared weights are not adapted")
        owners[entry] = name


def _finish(graph: Graph, tensors: dict[str, Any]) -> Network:
    check_values(graph, tensors)
    return with_owned_weights(Network(graph, tensors))
