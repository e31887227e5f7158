"""What an ONNX graph says of its input, its output and its initialisers before any node is read."""

from collections.abc import Sequence
from dataclasses import dataclass

from onnx import TensorProto, ValueInfoProto

from adapt.errors import NetworkRefused
from adapt.formats.onnx_channels_last import are_channels_last
from adapt.formats.onnx_nodes import OnnxNode
from adapt.formats.onnx_tensors import FLOATS, printable, text, type_name
from adapt.formats.tensors import check_shape


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """`image` is [C, H, W] however the file holds it; `batch` is the batch size of a file that fixes it."""

    name: str
    image: tuple[int, int, int]
    batch: int | None
    channels_last: bool


def only_image(infos: Sequence[ValueInfoProto], initializers: frozenset[str], nodes: Sequence[OnnxNode]) -> ImageInput:
    """The one input that is no initialiser, as older files list them too, and that any node needs."""
    images = [info for info in infos if text(info.name) not in initializers]
    needed = {name for node in nodes for name in node.needs()}
    images = [info for info in images if text(info.name) in needed] or images
    if len(images) != 1:
        names = [printable(info.name, 40) for info in images[:5]]
        raise NetworkRefused("inputs", f"the network takes {len(images)} inputs {names}, one image is expected")
    kind, sizes = tensor_type(images[0], "inputs")
    if kind not in FLOATS:
        raise NetworkRefused("inputs", f"the network takes {type_name(kind)} values, floating point is expected")
    if sizes is None or len(sizes) != 4:
        rank = "no stated shape" if sizes is None else f"{len(sizes)} dimensions"
        raise NetworkRefused("inputs", f"the input has {rank}, [N, C, H, W] is expected")
    if None in sizes[1:]:
        raise NetworkRefused("inputs", "the image size is dynamic; export with a fixed height and width")
    name = text(images[0].name)
    last = are_channels_last(name, nodes)
    order = (3, 1, 2) if last else (1, 2, 3)
    _, channels, height, width = check_shape([1, *(sizes[axis] for axis in order)], "inputs")
    return ImageInput(name=name, image=(channels, height, width), batch=sizes[0], channels_last=last)


def only_output(infos: Sequence[ValueInfoProto]) -> ValueInfoProto:
    if len(infos) != 1:
        raise NetworkRefused("output", f"the network has {len(infos)} outputs, one [N, classes] is expected")
    return infos[0]


def by_name(tensors: Sequence[TensorProto]) -> dict[str, TensorProto]:
    found: dict[str, TensorProto] = {}
    for tensor in tensors:
        name = text(tensor.name)
        if name in found:
            raise NetworkRefused(printable(name), "is the name of two initialisers")
        found[name] = tensor
    return found


def tensor_type(info: ValueInfoProto, where: str) -> tuple[int, list[int | None] | None]:
    """The element type and the sizes, None for one that is not fixed, and for a shape that is not stated."""
    kind = info.type.WhichOneof("value")
    if kind is None:
        return int(TensorProto.UNDEFINED), None
    if kind != "tensor_type":
        raise NetworkRefused(where, f"{printable(info.name)} is no tensor ({kind.removesuffix('_type')})")
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return tensor.elem_type, None
    sizes = [size.dim_value if size.HasField("dim_value") and size.dim_value > 0 else None for size in tensor.shape.dim]
    return tensor.elem_type, sizes
