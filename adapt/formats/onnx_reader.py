"""The reader of ONNX files that strangers send: protobuf and numbers, never a runtime that would execute them.

It needs only the messages of the onnx package; shapes are propagated by our own table.
"""

from pathlib import Path

from google.protobuf.message import DecodeError
from onnx import ModelProto, defs

from adapt.errors import FormatRefused, NetworkRefused
from adapt.formats.onnx_graph import OnnxGraphReader
from adapt.formats.onnx_names import with_state_dict_names
from adapt.formats.onnx_nodes import STANDARD_DOMAINS
from adapt.formats.tensors import check_values
from adapt.graph.network import Network
from adapt.graph.patterns import canonical
from adapt.graph.shapes import check_classifier, check_images_apart

OLDEST_OPSET = 7
_MOST_BYTES = (1 << 31) - 1  # protobuf's own limit


def read_onnx(path: Path) -> Network:
    """A network from a stranger's ONNX file: one image [N, C, H, W] in, [N, classes] out, floating point.

    Raises FormatRefused (another kind of file), UnsupportedOperator or NetworkRefused, each naming the node, value or
    initialiser at fault.
    """
    model = _parse(path)
    reader = OnnxGraphReader(model.graph, _opset(model))
    read = reader.read()
    graph = canonical(read.graph)
    check_classifier(graph, check_images_apart(graph))
    used = Network(graph, {name: read.weights[name] for name in graph.weight_shapes})
    network = with_state_dict_names(used, reader.sources)
    check_values(network.graph, network.weights)
    return network


def _parse(path: Path) -> ModelProto:
    if path.stat().st_size > _MOST_BYTES:
        raise FormatRefused("", "is larger than 2 GiB, which no ONNX file can be")
    try:
        model: ModelProto = ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise FormatRefused("", "not an ONNX file, or a truncated or damaged one") from error
    if not model.HasField("graph"):
        raise FormatRefused("", "not an ONNX file: it holds no graph")
    return model


def _opset(model: ModelProto) -> int:
    """The version of ONNX's own operators."""
    versions = [entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS]
    if len(versions) != 1:
        raise NetworkRefused("opset_import", f"states {len(versions)} versions of ONNX's operators, one is expected")
    newest = defs.onnx_opset_version()
    if not OLDEST_OPSET <= versions[0] <= newest:
        raise NetworkRefused(
            "opset_import", f"opset {versions[0]} is not read; export with an opset from {OLDEST_OPSET} to {newest}"
        )
    return int(versions[0])
