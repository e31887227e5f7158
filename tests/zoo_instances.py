"""Each zoo family once, and one with squeeze-and-excitation, as small as the strides allow: seven classes, images that
are no square."""

from adapt.graph.network import Graph
from adapt.zoo.architecture import REDUCTION
from adapt.zoo.catalogue import FAMILIES

SMALL_INSTANCES: dict[str, tuple[float, tuple[int, int, int]]] = {
    "mobilenet_v1": (0.25, (1, 32, 40)),
    "mobilenet_v1_plain": (0.25, (1, 32, 40)),
    "mobilenet_v2": (0.35, (3, 32, 40)),
    "mobilenet_v3_large": (0.35, (3, 40, 32)),
    "mobilenet_v3_small": (0.35, (3, 40, 32)),
    "mnasnet_a1": (0.35, (3, 32, 40)),
    "efficientnet_b0": (0.35, (3, 32, 40)),
    "nasnet_a_mobile": (1.0, (3, 32, 40)),
    "shufflenet_v2": (0.5, (3, 32, 40)),
    "squeezenet1_0": (1.0, (3, 32, 40)),
    "squeezenet1_1": (1.0, (1, 32, 40)),
    "googlenet": (1.0, (3, 48, 56)),
    "googlenet_3x3": (1.0, (1, 32, 40)),
    "inception_v2": (1.0, (3, 32, 40)),
    "inception_v3": (1.0, (3, 79, 83)),
    "densenet121": (1.0, (3, 32, 40)),
    "resnet18": (1.0, (3, 32, 40)),
    "resnet50": (1.0, (3, 32, 40)),
    "se_resnet50": (1.0, (1, 32, 40)),
    "vgg16": (1.0, (3, 32, 40)),
    "alexnet": (1.0, (3, 64, 72)),
}
"""Family -> width, (C, H, W)."""

SIBLINGS = {"resnet34", "resnet101", "resnet152", "vgg11", "vgg13", "vgg19"}
"""Families that have more or fewer blocks than one above, and differ in nothing else: that one stands for them."""

CLASSES = 7


def small_instance(name: str) -> Graph:
    """Of a family, or of se_<family> where that takes it."""
    family = name.removeprefix("se_")
    width, shape = SMALL_INSTANCES[family]
    reduction = REDUCTION if name != family else None
    return FAMILIES[family].graph(width=width, classes=CLASSES, image_shape=shape, name=name, reduction=reduction)
