"""Builds a graph layer by layer; weights are named as the state_dict of the published network names them."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Literal

from adapt.errors import NetworkRefused
from adapt.graph.network import Attribute, Graph, Node, Shape
from adapt.graph.operators import OPERATORS
from adapt.graph.shapes import infer_shapes

Pair = int | tuple[int, int]

Layout = Literal["paper", "published"]
"""Whose strides: the paper's, made for training here, or those of the weights that are published by these names."""

SMALL_SIDE = 64
"""Pixels of the shorter side up to which images count as small: far below the 224 that the papers' tables are for."""


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, but never less than 90 % of `channels` (MobileNetV2's reference code)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class GraphBuilder:
    """Values are known by name; every method adds nodes and returns the name of what it computes.

    A `path` is where the layer sits in the network's modules: its weights are called `<path>.<role>`.
    Raises NetworkRefused, naming the layer, as soon as something does not fit: an image that is too small.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        layout: Layout = "paper",
        reduction: int | None = None,
    ) -> None:
        self.images = "images"
        self._input_shape = input_shape
        self.layout, self.reduction = layout, reduction
        self._norm = {"eps": eps, "momentum": momentum}
        self._nodes: list[Node] = []
        self._weight_shapes: dict[str, Shape] = {}
        self._shapes: dict[str, Shape] = {self.images: (1, *input_shape)}

    def go_on(self, graph: Graph) -> None:
        """Adds what follows behind the nodes of `graph`, which was built for the same images."""
        self._nodes = list(graph.nodes)
        self._weight_shapes = dict(graph.weight_shapes)
        self._shapes = infer_shapes(graph)

    def channels(self, value: str) -> int:
        return self._shapes[value][1]

    def size(self, value: str) -> tuple[int, int]:
        """Height and width of a feature map."""
        height, width = self._shapes[value][2:]
        return height, width

    def stem_stride(self) -> int:
        """2, as in the papers; 1 on small images, which would otherwise be a single pixel halfway through.
        Published weights keep theirs at any resolution."""
        return 1 if self.layout == "paper" and min(self.size(self.images)) <= SMALL_SIDE else 2

    def finish(self, output: str) -> Graph:
        return Graph(
            input_name=self.images,
            input_shape=self._input_shape,
            nodes=tuple(self._nodes),
            output=output,
            weight_shapes=dict(self._weight_shapes),
        )

    def apply(
        self,
        operator: str,
        inputs: Sequence[str],
        path: str,
        attributes: Mapping[str, Any] | None = None,
        weights: Mapping[str, Shape] | None = None,
    ) -> str:
        """One node of any operator; attributes that are left out take the table's defaults."""
        row, given = OPERATORS[operator], attributes or {}
        read: dict[str, Attribute] = {
            name: field.read(given[name]) if name in given else field.default for name, field in row.attributes.items()
        }
        roles = weights or {}
        try:
            shape = row.shape([self._shapes[name] for name in inputs], read, roles)
        except ValueError as error:
            raise NetworkRefused(path, f"{operator}: {error}") from error
        name = path.replace(".", "_")
        if name in self._shapes:
            raise NetworkRefused(path, "is the name of two layers")
        names = {role: f"{path}.{role}" for role in roles}
        self._nodes.append(
            Node(name=name, operator=operator, inputs=tuple(inputs), attributes=read, weights=names, layer=path)
        )
        self._weight_shapes.update({names[role]: shape for role, shape in roles.items()})
        self._shapes[name] = shape
        return name

    def conv(
        self,
        value: str,
        path: str,
        filters: int,
        kernel: Pair = 1,
        *,
        stride: int = 1,
        padding: Pair | None = None,
        groups: int = 1,
        bias: bool = False,
    ) -> str:
        """`padding` defaults to half of the kernel."""
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        weights: dict[str, Shape] = {"weight": (filters, self.channels(value) // groups, height, width)}
        if bias:
            weights["bias"] = (filters,)
        pads = (height // 2, width // 2) if padding is None else padding
        return self.apply("conv2d", [value], path, {"stride": stride, "padding": pads}, weights)

    def depthwise(self, value: str, path: str, kernel: int, *, stride: int = 1) -> str:
        channels = self.channels(value)
        return self.conv(value, path, channels, kernel, stride=stride, groups=channels)

    def batch_norm(self, value: str, path: str) -> str:
        channels = (self.channels(value),)
        roles: dict[str, Shape] = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), channels)
        return self.apply("batch_norm", [value], path, self._norm, {**roles, "num_batches_tracked": ()})

    def conv_bn_act(
        self,
        value: str,
        conv_path: str,
        norm_path: str,
        filters: int,
        kernel: Pair = 1,
        *,
        stride: int = 1,
        padding: Pair | None = None,
        groups: int = 1,
        act: str | None = "relu",
    ) -> str:
        """Convolution without bias, batch norm, activation (None: linear)."""
        value = self.conv(value, conv_path, filters, kernel, stride=stride, padding=padding, groups=groups)
        value = self.batch_norm(value, norm_path)
        return value if act is None else self.activation(value, act)

    def depthwise_bn_act(
        self, value: str, conv_path: str, norm_path: str, kernel: int, *, stride: int = 1, act: str | None = "relu"
    ) -> str:
        channels = self.channels(value)
        return self.conv_bn_act(value, conv_path, norm_path, channels, kernel, stride=stride, groups=channels, act=act)

    def activation(self, value: str, operator: str) -> str:
        return self.apply(operator, [value], f"{value}_{operator}")

    def squeeze_excite(self, value: str, path: str, squeezed: int, *, act: str = "relu", gate: str = "sigmoid") -> str:
        """Squeeze-and-excitation (Hu et al., 2018, sec. 3) behind any feature map; its two layers are fc1 and fc2."""
        pooled = self.apply("adaptive_avg_pool2d", [value], f"{path}.squeeze", {"output_size": 1})
        hidden = self.activation(self.conv(pooled, f"{path}.fc1", squeezed, bias=True), act)
        scale = self.activation(self.conv(hidden, f"{path}.fc2", self.channels(value), bias=True), gate)
        return self.apply("mul", [value, scale], f"{path}.scale")

    def end_block(self, value: str, path: str) -> str:
        """What a block computes: with a `reduction`, its channels recalibrated by squeeze-and-excitation."""
        if self.reduction is None:
            return value
        return self.squeeze_excite(value, f"{path}.se", max(1, self.channels(value) // self.reduction))

    def add(self, first: str, second: str, path: str) -> str:
        return self.apply("add", [first, second], path)

    def concat(self, values: Sequence[str], path: str) -> str:
        return self.apply("cat", values, path, {"axis": 1})

    def max_pool(
        self, value: str, path: str, kernel: int, stride: int, *, padding: int = 0, ceil_mode: bool = False
    ) -> str:
        attributes = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
        return self.apply("max_pool2d", [value], path, attributes)

    def avg_pool(self, value: str, path: str, kernel: int, stride: int, *, padding: int = 0) -> str:
        return self.apply("avg_pool2d", [value], path, {"kernel_size": kernel, "stride": stride, "padding": padding})

    def global_pool(self, value: str, path: str = "avgpool") -> str:
        """[N, C, H, W] -> [N, C]."""
        return self.flatten(self.apply("adaptive_avg_pool2d", [value], path, {"output_size": 1}))

    def flatten(self, value: str) -> str:
        return self.apply("flatten", [value], f"{value}_flatten")

    def dropout(self, value: str, path: str, share: float) -> str:
        return self.apply("dropout", [value], path, {"p": share})

    def linear(self, value: str, path: str, features: int) -> str:
        """With bias; [N, C] -> [N, features]."""
        weights: dict[str, Shape] = {"weight": (features, prod(self._shapes[value][1:])), "bias": (features,)}
        return self.apply("linear", [value], path, None, weights)
