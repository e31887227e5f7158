"""What a row of the zoo says, and what is asked of it. Needs no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from adapt.errors import AdaptError, NetworkRefused
from adapt.graph.network import Graph
from adapt.spec import IMAGENET, Normalization, default_normalization
from adapt.zoo.builder import GraphBuilder, Layout

ImageShape = tuple[int, int, int]
"""(C, H, W)"""

HALVES = Normalization(mean=(0.5,) * 3, std=(0.5,) * 3)
"""Pixels from -1 to 1: what published Inception weights expect. (torchvision has its networks of that family turn
ImageNet-normalised images back into these, `transform_input`.)"""

REDUCTION = 16
"""Of the squeeze-and-excite blocks that a name with se_ has (Hu et al., 2018, sec. 6.1)."""
SE_PAPER = "Hu et al. 2018, arXiv:1709.01507, Tables 1 to 3"

MAX_CHANNELS, MAX_SIZE, MAX_CLASSES = 16, 1024, 100_000


class ArchitectureNotFound(AdaptError):
    """`advice` says what is wrong with the name, or which names are near."""

    def __init__(self, name: str, advice: str) -> None:
        super().__init__(name, advice)
        self.name, self.advice = name, advice

    def __str__(self) -> str:
        return (
            f"there is no architecture {self.name[:80]!a} in the zoo: {self.advice}; `netadapt architectures` lists all"
        )


class ArchitectureDoesNotFit(AdaptError):
    """The zoo cannot build this architecture for images of this shape (C, H, W), or for so many classes."""

    def __init__(self, name: str, image_shape: ImageShape, why: str) -> None:
        super().__init__(name, image_shape, why)
        self.name, self.image_shape, self.why = name, image_shape, why

    def __str__(self) -> str:
        channels, height, width = self.image_shape
        return f"{self.name} cannot be built for images of {height} x {width} pixels, {channels} channels: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """As printed, in millions: `unit` is what one step of the last printed digit is worth. 5.4 has the unit 0.1."""

    value: float
    unit: float

    def error_of(self, millions: float) -> float:
        """How far off `millions` is, as a fraction of the printed value, beyond half a unit of its last digit."""
        return max(0.0, abs(millions - self.value) - self.unit / 2) / self.value


def printed(text: str) -> Figure:
    """A figure as the paper prints it: "5.4" or "138", in millions."""
    decimals = len(text.partition(".")[2])
    return Figure(value=float(text), unit=10.0**-decimals)


@dataclass(frozen=True, kw_only=True)
class Published:
    """The paper's own figures, for 1000 classes; None where the paper prints none. `why` says where we count apart,
    and `counted_apart` which of "macs" and "params" that is."""

    macs: Figure | None
    params: Figure | None
    why: str = ""
    counted_apart: frozenset[str] = frozenset()


Build = Callable[[GraphBuilder, int, float], str]
"""Adds the network's layers for (builder, classes, width) and returns the value that holds its scores."""

Auxiliary = Callable[[GraphBuilder, int], Mapping[str, float]]
"""Adds auxiliary classifiers to the finished network, for (builder, classes): the value that holds each one's scores
-> the weight of its loss beside the network's own."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One network, at any width when `has_width`, for any number of classes and any image that its strides allow.

    `widths` are the only ones where the paper tabulates each. `image_shape` is the paper's own, `published` holds its
    rows, by (width, image size), and `excited` those with squeeze-and-excitation behind every block; None where the
    family has it of its own. `eps` and `momentum` are of its batch norms, `head` is the path of the layer that
    tells the classes apart. `auxiliary` adds the classifiers that only train along; in published files the names of
    their weights begin with one of `training_only`, and are left out. `older_names` are patterns of what files used to
    call their weights, and what these are called now; `normalization` is what published weights of three channels were
    trained with.
    """

    name: str
    paper: str
    build: Build
    published: Mapping[tuple[float, int], Published]
    image_shape: ImageShape = (3, 224, 224)
    excited: Mapping[tuple[float, int], Published] | None = None
    has_width: bool = False
    widths: frozenset[float] = frozenset()
    eps: float = 1e-5
    momentum: float = 0.1
    auxiliary: Auxiliary | None = None
    training_only: tuple[str, ...] = ()
    older_names: Mapping[str, str] = field(default_factory=dict)
    normalization: Normalization = IMAGENET
    head: str

    def graph(
        self,
        *,
        width: float,
        classes: int,
        image_shape: ImageShape,
        name: str,
        layout: Layout = "paper",
        reduction: int | None = None,
    ) -> Graph:
        """With a `reduction`, squeeze-and-excitation behind every block. Raises ArchitectureDoesNotFit."""
        channels, height, image_width = image_shape
        if (
            not 1 <= channels <= MAX_CHANNELS
            or not 1 <= min(height, image_width) <= max(height, image_width) <= MAX_SIZE
        ):
            why = f"1 to {MAX_CHANNELS} channels and up to {MAX_SIZE} pixels are allowed"
            raise ArchitectureDoesNotFit(name, image_shape, why)
        if not 2 <= classes <= MAX_CLASSES:
            raise ArchitectureDoesNotFit(name, image_shape, f"{classes} classes; 2 to {MAX_CLASSES} are allowed")
        builder = GraphBuilder(image_shape, eps=self.eps, momentum=self.momentum, layout=layout, reduction=reduction)
        try:
            return builder.finish(self.build(builder, classes, width))
        except NetworkRefused as refused:
            raise ArchitectureDoesNotFit(name, image_shape, str(refused)) from refused

    def with_auxiliary(self, graph: Graph) -> tuple[Graph, Mapping[str, float]]:
        """`graph`, a network of this family, with auxiliary classifiers as further nodes, which its output does not
        depend on; and the values that hold their scores -> the weight of each one's loss. None: the same graph."""
        if self.auxiliary is None:
            return graph, {}
        builder = GraphBuilder(graph.input_shape, eps=self.eps, momentum=self.momentum)
        builder.go_on(graph)
        loss_weights = self.auxiliary(builder, builder.channels(graph.output))
        return builder.finish(graph.output), loss_weights


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A family at one width and, unless asked for another, one image size: what a zoo name stands for. With a
    `reduction`, squeeze-and-excitation is behind every block."""

    name: str
    family: Family
    width: float
    image_shape: ImageShape
    reduction: int | None
    published: Published | None

    @property
    def paper(self) -> str:
        return self.family.paper if self.reduction is None else SE_PAPER

    def graph(self, classes: int = 1000, image_shape: ImageShape | None = None) -> Graph:
        """The network for `classes`; `image_shape` (C, H, W) is the name's own unless given.

        Raises ArchitectureDoesNotFit.
        """
        return self._graph(classes, image_shape, "paper")

    def published_graph(self, classes: int = 1000, image_shape: ImageShape | None = None) -> Graph:
        """The network that published weights are for; its strides are theirs, at any resolution.

        Raises ArchitectureDoesNotFit.
        """
        return self._graph(classes, image_shape, "published")

    def _graph(self, classes: int, image_shape: ImageShape | None, layout: Layout) -> Graph:
        return self.family.graph(
            width=self.width,
            classes=classes,
            image_shape=image_shape or self.image_shape,
            name=self.name,
            layout=layout,
            reduction=self.reduction,
        )

    def normalization(self, channels: int) -> Normalization:
        """What images are normalised with unless somebody says otherwise."""
        return self.family.normalization if channels == 3 else default_normalization(channels)
