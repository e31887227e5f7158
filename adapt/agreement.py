"""Whether the rebuilt module and the ONNX that we wrote compute the same: asked for every model before it is ready."""

from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from adapt.errors import MeasurementFailed
from adapt.formats.onnx_writer import write_onnx
from adapt.graph.network import Network
from adapt.modules import build_module

BATCH = 2


def largest_difference(network: Network) -> float:
    """The largest |module - ONNX| over a seeded random batch, divided by the output's scale max(1, max |module|).

    One thread each, evaluation mode. Infinite when an output is not finite or the
    shapes differ. Raises NetworkRefused where shapes do not fit, MeasurementFailed when onnxruntime refuses.
    """
    images = np.random.default_rng(0).standard_normal((BATCH, *network.graph.input_shape)).astype(np.float32)
    expected = run_module(network, images)
    actual = run_onnx(write_onnx(network), images)
    if expected.shape != actual.shape or not (np.isfinite(expected).all() and np.isfinite(actual).all()):
        return float("inf")
    scale = max(1.0, float(np.abs(expected).max()))
    return float(np.abs(expected - actual).max()) / scale


def run_module(network: Network, images: NDArray[np.float32]) -> NDArray[Any]:
    """What the rebuilt module answers in evaluation mode: [N, C, H, W] -> [N, classes]."""
    with torch.inference_mode():
        output: NDArray[Any] = build_module(network).eval()(torch.from_numpy(images)).numpy()
    return output


def run_onnx(model: bytes, images: NDArray[np.float32]) -> NDArray[Any]:
    """What onnxruntime answers on one thread: [N, C, H, W] -> [N, classes].

    Raises MeasurementFailed when it refuses the model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        output: NDArray[Any] = session.run(None, {session.get_inputs()[0].name: images})[0]
    except Exception as error:  # onnxruntime's errors share no class of their own
        raise MeasurementFailed("onnxruntime", str(error)) from error
    return output
