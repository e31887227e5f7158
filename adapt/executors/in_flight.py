"""How many candidates are trained at once: as many as there are cores, or as a GPU's memory has room for."""

import os
from math import prod

import torch

from adapt.graph.network import Graph
from adapt.graph.shapes import infer_shapes
from adapt.spec import Settings
from adapt.training.device import training_device

CONTEXT_BYTES = 700 * 2**20  # of a process on a GPU, before it has a tensor there
PER_ACTIVATION_BYTES = 12  # float32 of the pass forward, its gradient, and what batch norms and libraries put aside
SHARE = 0.8  # of the free memory: where the estimate is too low, a candidate is computed in parts
MOST_ON_A_GPU = 8  # they take turns on it: more only get into each other's way


def in_flight(graph: Graph, settings: Settings) -> int:
    """Raises DeviceAbsent."""
    cores = len(os.sched_getaffinity(0))
    device = training_device(settings.device)
    if device.type == "cpu":
        return cores
    free, _total = torch.cuda.mem_get_info(device)
    activations = sum(prod(shape[1:]) for shape in infer_shapes(graph).values()) * settings.batch_size
    need = CONTEXT_BYTES + PER_ACTIVATION_BYTES * activations
    return max(1, min(cores, MOST_ON_A_GPU, int(SHARE * free // need)))
