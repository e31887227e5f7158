"""Networks in files: what a user sends is recognised by its first bytes, what we write is safetensors."""

from pathlib import Path
from typing import Literal

from adapt.errors import FormatRefused
from adapt.formats.pt2 import read_pt2
from adapt.formats.safetensors_file import read_about, read_graph, read_safetensors, write_safetensors
from adapt.graph.network import Network

__all__ = ["read_about", "read_graph", "read_network", "read_pt2", "read_safetensors", "write_safetensors"]

NetworkFormat = Literal["pt2", "onnx", "safetensors"]

_HOW = (
    "send a .pt2 (torch.export.save(torch.export.export(model.eval(), (images,)), 'net.pt2')), "
    "an .onnx, or a .safetensors file that carries its architecture"
)
_HDF5 = b"\x89HDF\r\n\x1a\n"
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
        start = stream.read(16)
    if not start:
        raise FormatRefused("", f"the file is empty; {_HOW}")
    if start.startswith(b"PK"):
        return "pt2"
    if start[8:9] == b"{" and not (start[0] in _ONNX_FIELDS and any(start[4:8])):  # no header has 4 GiB
        return "safetensors"
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05":
        raise FormatRefused("", f"a pickle, which is never loaded; {_HOW}")
    if start.startswith(_HDF5):
        raise FormatRefused("", f"an HDF5 file (Keras); {_HOW}")
    if start[0] in _ONNX_FIELDS:
        return "onnx"
    raise FormatRefused("", f"not a .pt2, .onnx or .safetensors file, or a truncated one; {_HOW}")
