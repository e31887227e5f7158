"""What an ONNX file scores, computed by onnxruntime: a quantised one does not compute what its network does."""

from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn


class OnnxModule(nn.Module):
    """A file that we wrote as a module, to be evaluated like any other: images [N, C, H, W] in, scores out. One thread,
    on the processor, whatever it was measured on."""

    def __init__(self, onnx: bytes) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def forward(self, images: Tensor) -> Tensor:
        (scores,) = self._session.run(None, {self._input: images.contiguous().numpy()})
        return torch.from_numpy(scores)
