"""Whether a device can measure at all: tried on a network so small that any runtime takes it."""

import os

from adapt.errors import MeasurementFailed
from adapt.graph.network import Graph, Node
from adapt.latency.conditions import Conditions
from adapt.latency.device import Device
from adapt.latency.network_files import NetworkFiles
from adapt.latency.reading import Plan
from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.latency.variants import random_network
from adapt.stop import Stop

PLAN = Plan(minimum_pairs=3, minimum_s=0.0, maximum_s=0.2, profile_s=0.01)


def try_out(device: Device, choice: RuntimeChoice, stop: Stop) -> Conditions:
    """What `device`, which is this machine, measures under. Raises MeasurementFailed, and Stopped."""
    cores = len(os.sched_getaffinity(0))
    if choice.threads > cores:
        why = f"{choice.threads} threads are asked for; this machine has {cores} cores for them"
        raise MeasurementFailed(choice.runtime, why)
    files = NetworkFiles(kind=device.file, conditions=device.conditions)
    file = files.write_variant(random_network(tiny_graph()))
    return device.read(file, file, PLAN, stop).conditions


def tiny_graph() -> Graph:
    """A convolution of eight filters, its activation, the mean, and a linear layer: 3 x 16 x 16 in, 4 classes out."""
    once = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}
    nodes = (
        Node(name="conv", operator="conv2d", inputs=("image",), attributes=once, weights={"weight": "conv.weight"}),
        Node(name="relu", operator="relu", inputs=("conv",)),
        Node(name="mean", operator="mean", inputs=("relu",), attributes={"keepdim": False}),
        Node(name="head", operator="linear", inputs=("mean",), weights={"weight": "head.weight", "bias": "head.bias"}),
    )
    shapes = {"conv.weight": (8, 3, 3, 3), "head.weight": (4, 8), "head.bias": (4,)}
    return Graph(input_name="image", input_shape=(3, 16, 16), nodes=nodes, output="head", weight_shapes=shapes)
