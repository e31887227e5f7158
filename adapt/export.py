"""A .pt2 file that a user loads with plain torch.export.load, without our code."""

import io
import warnings

import torch
from torch.export import Dim, export, save

from adapt.graph.network import Network
from adapt.modules import build_module


def write_pt2(network: Network) -> bytes:
    """The network in evaluation mode as torch.export.save writes it, with a dynamic batch.

    Raises NetworkRefused where shapes do not fit.
    """
    module = build_module(network).eval()
    images = torch.zeros(2, *network.graph.input_shape)  # two: a batch of one would be taken for a fixed size
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own deprecations, none of which a user can act upon
        program = export(module, (images,), dynamic_shapes=({0: Dim("batch")},))
        program.example_inputs = None  # they would be pickled into the file
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # paths of this machine, which would also change the bytes
        save(program, buffer)
    return buffer.getvalue()
