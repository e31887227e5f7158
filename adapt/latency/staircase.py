"""The staircase of the hardware: which channel counts cost no more than a few channels less.

Kernels work on blocks of channels, so a network with 97 channels may take as long as one with 112, or longer. The step
is found by measuring, on the device itself: a small network of convolutions with more and more channels, each beside
the widest. Loads neither torch nor a runtime.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from adapt.graph.network import Attribute, Graph, Node, Shape
from adapt.latency.device import Device
from adapt.latency.measure import evaluated
from adapt.latency.network_files import NetworkFiles
from adapt.latency.reading import Plan
from adapt.latency.variants import random_network
from adapt.stop import Stop, never

STEPS = (1, 2, 4, 8, 16, 32)
LOWEST, HIGHEST = 96, 128  # multiples of every step
COUNTS = (96, 100, 104, 108, 112, *range(113, 128))  # of every remainder one, of those that vectors like two
SIZE = 14  # pixels: as in the middle of a network for images of 224
TOLERANCE = 0.03  # of the time: what counts as costing the same; a channel more costs 1.5 % where there is no step
USUAL_STEP = 8  # where nothing is measured, or no step can be seen
PLAN = Plan(minimum_pairs=9, minimum_s=0.0, maximum_s=0.6, half_width=0.01)
LONGER = Plan(minimum_pairs=30, minimum_s=0.5, maximum_s=4.0, half_width=0.01)  # where an interval came out too wide


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A time over that of the widest network, with its interval."""

    ratio: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Staircase:
    """`step` is what channel counts are rounded to, `reason` how it was come by, `curve` the measured ratios by count
    (empty where nothing was measured)."""

    step: int
    reason: str
    curve: Mapping[int, Ratio]


def assumed(reason: str) -> Staircase:
    """Where there is nothing to measure with, or for."""
    return Staircase(step=USUAL_STEP, reason=f"{reason}: channel counts are rounded to {USUAL_STEP}", curve={})


def measure_staircase(device: Device, stop: Stop = never) -> Staircase:
    """Takes a few seconds. Raises MeasurementFailed, Stopped."""
    files = NetworkFiles(kind=device.file, conditions=device.conditions)
    widest_probe = probe(HIGHEST)

    def write(channels: int) -> bytes:
        narrower = widest_probe.with_weight_shapes(probe(channels).weight_shapes)  # the same nodes: a variant of it
        return files.write_variant(random_network(narrower))

    widest = write(HIGHEST)

    def measured(channels: int, plan: Plan) -> Ratio:
        found = evaluated(device.read(write(channels), widest, plan, stop))
        return Ratio(ratio=found.ratio, low=found.ratio_low, high=found.ratio_high)

    curve = {channels: measured(channels, PLAN) for channels in COUNTS}
    curve[HIGHEST] = Ratio(ratio=1.0, low=1.0, high=1.0)
    for channels in COUNTS:
        if any(_undecided(curve[channels], curve[above]) for above in _next_multiples(channels) if above in curve):
            curve[channels] = measured(channels, LONGER)
    return staircase_of(curve)


def staircase_of(curve: Mapping[int, Ratio]) -> Staircase:
    """The largest step for which every count between two multiples costs as much as the next multiple, or more.

    `curve` has the multiples of 16 from LOWEST to HIGHEST and what is between any of them.

    Where the narrowest network is no faster than the widest, everything is a step of everything: nothing is to be seen.
    """
    if not _cheaper(curve[LOWEST], curve[HIGHEST]):
        seen = f"{LOWEST} channels take as long as {HIGHEST} on this target, so that no step can be seen"
        return Staircase(step=USUAL_STEP, reason=f"{seen}: channel counts are rounded to {USUAL_STEP}", curve=curve)
    step = max(step for step in STEPS if _is_step(step, curve))
    return Staircase(
        step=step,
        reason=f"channel counts are rounded to {step}: measured from {LOWEST} to {HIGHEST} channels, every count "
        f"between two multiples of {step} takes as long as the next multiple, or longer",
        curve=curve,
    )


def probe(channels: int) -> Graph:
    """Convolutions of `channels` filters as networks have them: 3x3, pointwise and depthwise, with activations."""
    wide = [(1, channels), (3, 1), (1, channels)]
    nodes: list[Node] = []
    shapes: dict[str, Shape] = {"head.weight": (10, channels)}
    value = "image"
    for index, (kernel, per_filter) in enumerate([(3, 3), *wide, (3, channels), *wide]):
        conv, relu, weight = f"conv{index}", f"relu{index}", f"conv{index}.weight"
        shapes[weight] = (channels, per_filter, kernel, kernel)
        padding = (kernel // 2, kernel // 2)
        how: dict[str, Attribute] = {"stride": (1, 1), "padding": padding, "dilation": (1, 1)}
        nodes += [
            Node(name=conv, operator="conv2d", inputs=(value,), attributes=how, weights={"weight": weight}),
            Node(name=relu, operator="relu", inputs=(conv,)),
        ]
        value = relu
    nodes += [
        Node(name="mean", operator="mean", inputs=(value,), attributes={"keepdim": False}),
        Node(name="head", operator="linear", inputs=("mean",), weights={"weight": "head.weight"}),
    ]
    return Graph(
        input_name="image", input_shape=(3, SIZE, SIZE), nodes=tuple(nodes), output="head", weight_shapes=shapes
    )


def _is_step(step: int, curve: Mapping[int, Ratio]) -> bool:
    pairs = ((found, curve.get(_next_multiple(count, step))) for count, found in curve.items())
    return not any(above is not None and _cheaper(found, above) for found, above in pairs)


def _next_multiple(count: int, step: int) -> int:
    return -(-count // step) * step


def _next_multiples(count: int) -> set[int]:
    return {_next_multiple(count, step) for step in STEPS} - {count}


def _undecided(one: Ratio, other: Ratio) -> bool:
    """Whether the interval leaves open if the one costs less."""
    return one.low < (1 - TOLERANCE) * other.ratio <= one.high


def _cheaper(one: Ratio, other: Ratio) -> bool:
    return one.ratio < (1 - TOLERANCE) * other.ratio
