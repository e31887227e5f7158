"""The quantised network as ONNX: onnxruntime's own static quantisation, 8 bits, a scale for each filter.

What comes out is the float32 network with pairs of QuantizeLinear and DequantizeLinear (QDQ), which every execution
provider that knows int8 turns into its own kernels. Activations are unsigned, weights signed and symmetric: the
combination with the fastest kernels on processors.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from adapt.formats.onnx_writer import NO_METADATA, write_onnx
from adapt.graph.folding import with_folded_batch_norms
from adapt.graph.network import Network, Node
from adapt.latency.variants import random_network

CALIBRATION_BATCH = 8
_QUANTIZED = "_quantized"


def write_onnx_int8(
    network: Network, images: NDArray[np.float32], *, reduce_range: bool, metadata: Mapping[str, str] = NO_METADATA
) -> bytes:
    """`network` quantised with ranges that its activations have on `images` [n, C, H, W], as it takes them.

    `reduce_range` gives weights 7 bits: x86 processors without VNNI add pairs of products in 16 bits, which 8 bits
    overflow. The same arguments give the same bytes on one type of machine. Raises NetworkRefused where shapes do not
    fit.
    """
    model = _quantized(network, images, reduce_range=reduce_range)
    helper.set_model_props(model, dict(metadata))
    data: bytes = model.SerializeToString(deterministic=True)
    return data


class QuantizedVariants:
    """Quantised files of pruned versions of one network, for timing: their shapes are what counts.

    The first is quantised in earnest; each of the others takes its tensors, cut to size, since onnxruntime's tool
    takes a second where a profile has dozens of variants.
    """

    def __init__(self, network: Network, *, reduce_range: bool) -> None:
        self.nodes: tuple[Node, ...] = network.graph.nodes
        images = np.random.default_rng(0).random((1, *network.graph.input_shape), dtype=np.float32)
        self._model = _quantized(random_network(network.graph), images, reduce_range=reduce_range)
        self._tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in self._model.graph.initializer}
        self._axes = dict(_weights_and_axes(self._model))

    def write(self, network: Network) -> bytes:
        """`network` must have the nodes that the first one had."""
        plain = onnx.load_from_string(write_onnx(with_folded_batch_norms(network)))
        tensors = dict(self._tensors)
        for tensor in plain.graph.initializer:
            if tensor.name in tensors:
                tensors[tensor.name] = numpy_helper.to_array(tensor)  # a constant that pruning may have changed
            for name, shape in self._sizes(tensor):
                tensors[name] = np.resize(tensors[name], shape)
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        del model.graph.initializer[:]
        model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in tensors.items())
        spelled = {node.name: node for node in plain.graph.node}
        for node in model.graph.node:
            if node.name in spelled:  # the groups of a depthwise convolution are its channels
                node.ClearField("attribute")
                node.attribute.extend(spelled[node.name].attribute)
        data: bytes = model.SerializeToString(deterministic=True)
        return data

    def _sizes(self, tensor: onnx.TensorProto) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The names that a weight's parts have in the quantised file, with their shapes for this weight."""
        weight = tensor.name + _QUANTIZED
        if weight not in self._axes:
            return
        yield weight, tuple(tensor.dims)
        axis, scale, zero_point = self._axes[weight]
        for name in (scale, zero_point):
            if axis is not None and self._tensors[name].ndim:
                yield name, (tensor.dims[axis],)


def _quantized(network: Network, images: NDArray[np.float32], *, reduce_range: bool) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    plain = onnx.load_from_string(write_onnx(with_folded_batch_norms(network)))
    add_pre_process_metadata(plain)  # batch norms are folded: nothing is left for its own preparation
    with tempfile.TemporaryDirectory(prefix="netadapt-int8-") as folder, _without_advice():
        path = Path(folder) / "int8.onnx"
        quantize_static(
            plain,
            path,
            _Images(network.graph.input_name, images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        model = onnx.load(path)
    del model.graph.value_info[:]  # shapes follow from the weights; those of a pruned version differ
    model.producer_name, model.producer_version = "netadapt", ""
    del model.metadata_props[:]
    return model


class _Images:
    """A CalibrationDataReader: batches until there are no more, then None."""

    def __init__(self, name: str, images: NDArray[np.float32]) -> None:
        starts = range(0, len(images), CALIBRATION_BATCH)
        self._batches = iter([{name: images[start : start + CALIBRATION_BATCH]} for start in starts])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)


def _weights_and_axes(model: onnx.ModelProto) -> Iterator[tuple[str, tuple[int | None, str, str]]]:
    """Each quantised weight with the axis that has a scale for every channel, and the names of scale and zero point.

    No axis means one scale for the whole weight, which may be spelled as a list of one: that of a bias of a batch norm
    that has no convolution before it.
    """
    names = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in names:
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), None)
            weight, scale, zero_point = node.input
            yield weight, (axis, scale, zero_point)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Its tool logs a warning for each bias that it makes room for; what it changes is in the file to see."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
