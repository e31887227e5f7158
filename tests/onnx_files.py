"""ONNX files as other people's exporters write them, and as nobody should."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from adapt.formats.onnx_reader import read_onnx
from adapt.graph.network import Network
from adapt.modules import build_module

IMAGE = (3, 9, 8)
"""(C, H, W) of the networks that are written here by hand."""

Arrays = dict[str, NDArray[Any]]


def exported_onnx(module: torch.nn.Module, shape: tuple[int, int, int], opset: int = 17, **how: Any) -> bytes:
    """What torch's TorchScript exporter makes of `module`, with a dynamic batch unless `how` says otherwise."""
    file = io.BytesIO()
    how = {"dynamic_axes": {"images": {0: "N"}}, **how}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch, of its own exporter's age
        torch.onnx.export(
            module, (torch.zeros(2, *shape),), file, dynamo=False, opset_version=opset, input_names=["images"], **how
        )
    return file.getvalue()


def node(op_type: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    """`inputs` are names with blanks between; "-" is one that is left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op_type, names, output.split(), name=f"node_{output.split()[0]}", **attributes)


def model(
    nodes: Sequence[NodeProto],
    tensors: Arrays | Sequence[TensorProto],
    *,
    opset: int = 17,
    batch: str | int = "N",
    image: Sequence[Any] = IMAGE,
    output: str = "y",
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model from the input x [batch, *image] to `output`."""
    if isinstance(tensors, dict):
        tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in tensors.items()]
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", kind, [batch, *image])],
        [helper.make_tensor_value_info(output, kind, None)],
        initializer=list(tensors),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def numbers(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.4, shape).astype(np.float32)


def head(source: str, channels: int, first: str = "pooled") -> tuple[list[NodeProto], Arrays]:
    """Average pooling over the image and a linear layer of four classes, from a value [N, channels, H, W] to y."""
    nodes = [
        node("GlobalAveragePool", source, first),
        node("Flatten", first, "flat", axis=1),
        node("Gemm", "flat fc.weight fc.bias", "y", transB=1),
    ]
    return nodes, {"fc.weight": numbers(4, channels, seed=1), "fc.bias": numbers(4, seed=2)}


def stem() -> tuple[list[NodeProto], Arrays]:
    """A convolution x -> s [N, 6, 9, 8]."""
    nodes = [node("Conv", "x stem.weight stem.bias", "s", kernel_shape=[3, 3], pads=[1, 1, 1, 1])]
    return nodes, {"stem.weight": numbers(6, 3, 3, 3), "stem.bias": numbers(6, seed=3)}


def between(
    body: Sequence[NodeProto], tensors: Arrays | None = None, *, channels: int = 6, **how: Any
) -> onnx.ModelProto:
    """The stem, then `body` from s to b [N, channels, H, W], then the head."""
    first, weights = stem()
    last, more = head("b", channels)
    return model([*first, *body, *last], {**weights, **(tensors or {}), **more}, **how)


def read(content: onnx.ModelProto | bytes, folder: Path) -> Network:
    path = folder / "net.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    return read_onnx(path)


def images(shape: Sequence[int] = IMAGE, count: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(5).normal(0, 2, (count, *shape)).astype(np.float32)


def answer(network: Network, batch: NDArray[np.float32]) -> NDArray[Any]:
    with torch.inference_mode():
        scores: NDArray[Any] = build_module(network).eval()(torch.from_numpy(batch)).numpy()
    return scores
