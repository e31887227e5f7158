"""Networks in files: what a user sends is recognised by its first bytes, what we write is safetensors."""

from pathlib import Path
from typing import Literal

from adapt.errors import FormatRefused
from adapt.formats.other_kinds import HOW, refuse_by_start
from adapt.formats.pt2 import read_pt2
from adapt.formats.safetensors_file import read_about, read_graph, read_safetensors, write_safetensors
from adapt.graph.network import Network

__all__ = ["read_about", "read_graph", "read_network", "read_pt2", "read_safetensors", "write_safetensors"]

NetworkFormat = Literal["pt2", "onnx", "safetensors"]

_ONNX_FIELDS = b"\x08\x12\x1a\x22\x28\x32\x3a\x42"  # how a serialised ModelProto can begin: its first eight fields


def read_network(path: Path) -> Network:
    """A network from a .pt2, .onnx or .safetensors file, by content rather than by name; every byte is a stranger's.

    Raises FormatRefused for any other kind of file, saying how to make one; NetworkRefused or UnsupportedOperator
    where the network cannot be adapted.
    """
    kind = network_format(path)
    if kind == "pt2":
        return read_pt2(path)
    if kind == "safetensors":
        return read_safetensors(path)
    from adapt.formats.onnx_reader import read_onnx  # protobuf: only where such a file is really read

    return read_onnx(path)


def network_format(path: Path) -> NetworkFormat:
    """The format that the first bytes speak of. Raises FormatRefused for any other, saying how to make one."""
    with path.open("rb") as stream:
        start = stream.read(64)
    if start.startswith(b"PK"):
        return "pt2"
    if start[8:9] == b"{" and not (start[0] in _ONNX_FIELDS and any(start[4:8])):  # no header has 4 GiB
        return "safetensors"
    refuse_by_start(start)
    if start[0] in _ONNX_FIELDS:
        return "onnx"
    raise FormatRefused("", f"not a .pt2, .onnx or .safetensors file, or a truncated one; {HOW}")
