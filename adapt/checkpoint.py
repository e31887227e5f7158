"""Networks in files: what a user sends is recognised by its first bytes, what we write is safetensors."""

from pathlib import Path

from adapt.errors import FormatRefused
from adapt.formats.pt2 import read_pt2
from adapt.formats.safetensors_file import read_about, read_graph, read_safetensors, write_safetensors
from adapt.graph.network import Network

__all__ = ["read_about", "read_graph", "read_network", "read_pt2", "read_safetensors", "write_safetensors"]

_HOW = (
    "send a .pt2 (torch.export.save(torch.export.export(model.eval(), (images,)), 'net.pt2')) "
    "or a .safetensors file that carries its architecture"
)
_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_network(path: Path) -> Network:
    """A network from a .pt2 or .safetensors file, by content rather than by name; every byte is a stranger's.

    Raises FormatRefused for any other kind of file, saying how to make one; NetworkRefused or UnsupportedOperator
    where the network cannot be adapted.
    """
    with path.open("rb") as stream:
        start = stream.read(16)
    if not start:
        raise FormatRefused("", f"the file is empty; {_HOW}")
    if start.startswith(b"PK"):
        return read_pt2(path)
    if start[8:9] == b"{":
        return read_safetensors(path)
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05":
        raise FormatRefused("", f"a pickle, which is never loaded; {_HOW}")
    if start.startswith(_HDF5):
        raise FormatRefused("", f"an HDF5 file (Keras); {_HOW}")
    if start[:1] == b"\x08" or path.suffix == ".onnx":
        raise FormatRefused("", f"looks like ONNX, and reading ONNX is not built yet; {_HOW}")
    raise FormatRefused("", f"not a .pt2 or .safetensors file, or a truncated one; {_HOW}")
