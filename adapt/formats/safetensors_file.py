"""Our checkpoints: one safetensors file, its only metadata key the architecture. Nothing pickled.

With several metadata keys the safetensors library writes them in random order; one key keeps the bytes the same.
"""

import json
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save, save_file

from adapt.errors import FormatRefused, NetworkRefused
from adapt.formats.architecture import read_architecture
from adapt.formats.strict_json import MAX_JSON_BYTES, member, of_type, parse_object
from adapt.formats.tensors import as_float32, bfloat16_as_float32, check_shape, check_values
from adapt.graph.network import Graph, Network, Shape

METADATA_KEY = "architecture"
_DTYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "BF16": "<u2", "I64": "<i8"}


def write_safetensors(network: Network, about: Mapping[str, Any] | None = None) -> bytes:
    """The network as one file: the same network and `about` (JSON values) give the same bytes."""
    data: bytes = save(_tensors(network), metadata=_metadata(network, about))
    return data


def write_safetensors_file(network: Network, path: Path, about: Mapping[str, Any] | None = None) -> None:
    """The bytes of `write_safetensors`, straight to a file: memory stays at the network's own size."""
    save_file(_tensors(network), path, metadata=_metadata(network, about))


def _tensors(network: Network) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(network.weights[name], order="C") for name in sorted(network.graph.weight_shapes)}


def _metadata(network: Network, about: Mapping[str, Any] | None) -> dict[str, str]:
    document = {"about": dict(about or {}), "graph": json.loads(network.graph.to_json())}
    return {METADATA_KEY: json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)}


def read_safetensors(path: Path) -> Network:
    """A network from a safetensors file that carries its architecture, checked as a stranger's.

    Raises FormatRefused where the file is of another kind or lacks the architecture, NetworkRefused or
    UnsupportedOperator naming the place at fault.
    """
    with path.open("rb") as stream:
        header, data_bytes = _read_header(stream, path.stat().st_size)
        document = _architecture(header)
        graph = read_architecture(member(document, "graph", dict, METADATA_KEY))
        spans = _read_spans(header, data_bytes)
        if odd := spans.keys() ^ graph.weight_shapes.keys():
            place = "tensors" if sorted(odd)[0] in graph.weight_shapes else "architecture"
            raise NetworkRefused(ascii(sorted(odd)[0][:200])[1:-1], f"is missing in the {place}")
        start = stream.tell()
        tensors = {
            name: _read_tensor(stream, start, spans[name], shape, name) for name, shape in graph.weight_shapes.items()
        }
    check_values(graph, tensors)
    return Network(graph, tensors)


def read_graph(path: Path) -> Graph:
    """The architecture alone, checked as `read_safetensors` checks it; the tensors are not looked at."""
    with path.open("rb") as stream:
        header, _ = _read_header(stream, path.stat().st_size)
    return read_architecture(member(_architecture(header), "graph", dict, METADATA_KEY))


def read_about(path: Path) -> dict[str, Any]:
    """What `write_safetensors` was told about the network. Raises as `read_safetensors` does."""
    with path.open("rb") as stream:
        header, _ = _read_header(stream, path.stat().st_size)
    return member(_architecture(header), "about", dict, METADATA_KEY)


def carries_architecture(path: Path) -> bool:
    """Whether a safetensors file is one of ours. Raises FormatRefused where it is no safetensors file."""
    with path.open("rb") as stream:
        header, _ = _read_header(stream, path.stat().st_size)
    metadata = header.get("__metadata__")
    return isinstance(metadata, dict) and METADATA_KEY in metadata


def read_state_shapes(path: Path) -> dict[str, Shape]:
    """Tensor name -> shape of any safetensors file, whose layout is checked. Raises as `read_safetensors` does."""
    with path.open("rb") as stream:
        spans = _read_spans(*_read_header(stream, path.stat().st_size))
    return {name: shape for name, (_, shape, _, _) in spans.items()}


def read_state(path: Path, wanted: Mapping[str, Shape]) -> dict[str, NDArray[Any]]:
    """These tensors of any safetensors file that holds them all. Raises as `read_safetensors` does."""
    with path.open("rb") as stream:
        header, data_bytes = _read_header(stream, path.stat().st_size)
        spans, start = _read_spans(header, data_bytes), stream.tell()
        return {name: _read_tensor(stream, start, spans[name], shape, name) for name, shape in wanted.items()}


def _read_header(stream: BinaryIO, file_bytes: int) -> tuple[dict[str, Any], int]:
    """The parsed header and the number of bytes behind it."""
    start = stream.read(8)
    if len(start) < 8:
        raise FormatRefused("", "too short for a safetensors file")
    (length,) = struct.unpack("<Q", start)
    if length > min(MAX_JSON_BYTES, file_bytes - 8):
        raise FormatRefused("", "not a safetensors file, or a truncated one: the header is longer than the file")
    return parse_object(stream.read(length), "header"), file_bytes - 8 - length


def _architecture(header: dict[str, Any]) -> dict[str, Any]:
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or METADATA_KEY not in metadata:
        raise FormatRefused(
            "header", "carries no architecture; upload the network as .pt2, or a safetensors file that we wrote"
        )
    return parse_object(member(metadata, METADATA_KEY, str, "header"), METADATA_KEY)


def _read_spans(header: dict[str, Any], data_bytes: int) -> dict[str, tuple[str, Shape, int, int]]:
    """Tensor name -> dtype, shape, begin, end; together they fill the data without gap or overlap."""
    spans: dict[str, tuple[str, Shape, int, int]] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        where = ascii(name[:200])[1:-1]
        offsets = member(entry, "data_offsets", list, where)
        if len(offsets) != 2:
            raise NetworkRefused(where, "data_offsets must be two integers")
        begin, end = (of_type(offset, int, where) for offset in offsets)
        shape = check_shape(member(entry, "shape", list, where), where)
        spans[name] = (member(entry, "dtype", str, where), shape, begin, end)
    reached = 0
    for name, (_, _, begin, end) in sorted(spans.items(), key=lambda item: item[1][2:]):
        if begin != reached or end < begin:
            raise NetworkRefused(ascii(name[:200])[1:-1], f"lies at {begin}..{end}, {reached} is where it must begin")
        reached = end
    if reached != data_bytes:
        raise NetworkRefused("", f"holds {data_bytes} bytes of tensors, the header describes {reached}")
    return spans


def _read_tensor(
    stream: BinaryIO, start: int, span: tuple[str, Shape, int, int], expected: Shape, name: str
) -> NDArray[Any]:
    kind, shape, begin, end = span
    if kind not in _DTYPES:
        raise NetworkRefused(name, f"data type {kind[:20]!a} is not read; {', '.join(_DTYPES)} are")
    dtype = np.dtype(_DTYPES[kind])
    if shape != expected:
        raise NetworkRefused(name, f"has the shape {list(shape)}, the architecture says {list(expected)}")
    if end - begin != prod(shape) * dtype.itemsize:
        raise NetworkRefused(name, f"has {end - begin} bytes, its shape needs {prod(shape) * dtype.itemsize}")
    raw = np.empty(end - begin, dtype=np.uint8)
    stream.seek(start + begin)
    if stream.readinto(raw.data) != raw.size:  # type: ignore[attr-defined]  # a buffered file has it
        raise NetworkRefused(name, "the file ends in the middle of it")
    tensor = raw.view(dtype).reshape(shape)
    if kind == "I64":
        return tensor
    return as_float32(bfloat16_as_float32(tensor) if kind == "BF16" else tensor, name)
