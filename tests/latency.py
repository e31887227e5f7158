"""Stand-ins for the tests of latency: a runtime whose clock is the test's, and a small graph made by hand."""

from collections.abc import Callable, Mapping, Sequence

from adapt.graph.network import Attribute, Graph, Node, Shape
from adapt.latency.conditions import Conditions
from adapt.latency.runtimes.contract import Kernel

CONDITIONS = Conditions(
    runtime="stand-in",
    runtime_version="1.0",
    provider="CPU",
    threads=1,
    batch=1,
    precision="float32",
    cpu="an 8-bit one",
    instruction_set="none",
)


class StandInSession:
    def __init__(self, ms: float, runtime: "StandInRuntime") -> None:
        self._ms, self._runtime = ms, runtime
        self.closed = False

    def time_ms(self, repeats: int) -> list[float]:
        return [self._runtime.run(self._ms) for _ in range(repeats)]

    def close(self) -> None:
        self.closed = True


class StandInRuntime:
    """Networks are numbers: b"2.5" takes 2.5 ms times `slowness(seconds since the start)`."""

    conditions = CONDITIONS

    def __init__(self, slowness: Callable[[float], float] = lambda seconds: 1.0) -> None:
        self.slowness = slowness
        self.now_s = 0.0
        self.sessions: list[StandInSession] = []

    def run(self, ms: float) -> float:
        taken = ms * self.slowness(self.now_s)
        self.now_s += taken / 1000
        return taken

    def clock(self) -> float:
        return self.now_s

    def load(self, onnx: bytes) -> StandInSession:
        self.sessions.append(StandInSession(float(onnx), self))
        return self.sessions[-1]

    def profile(self, onnx: bytes, repeats: int) -> Sequence[Kernel]:
        raise NotImplementedError("numbers have no kernels")


class GraphByHand:
    """Adds nodes one by one; each call returns the new value's name."""

    def __init__(self, input_shape: tuple[int, int, int] = (3, 32, 32)) -> None:
        self._input_shape = input_shape
        self._nodes: list[Node] = []
        self._shapes: dict[str, Shape] = {}

    def node(
        self,
        operator: str,
        *inputs: str,
        attributes: Mapping[str, Attribute] | None = None,
        weights: Mapping[str, Shape] | None = None,
    ) -> str:
        name = f"{operator}_{len(self._nodes)}"
        names = {role: f"{name}.{role}" for role in weights or {}}
        self._shapes.update({names[role]: shape for role, shape in (weights or {}).items()})
        self._nodes.append(
            Node(name=name, operator=operator, inputs=inputs, attributes=attributes or {}, weights=names)
        )
        return name

    def conv(self, value: str, filters: int, per_group: int, kernel: int = 1, stride: int = 1) -> str:
        return self.node(
            "conv2d",
            value,
            attributes={"stride": (stride, stride), "padding": (kernel // 2, kernel // 2), "dilation": (1, 1)},
            weights={"weight": (filters, per_group, kernel, kernel)},
        )

    def batch_norm(self, value: str, channels: int) -> str:
        roles = ("weight", "bias", "running_mean", "running_var")
        return self.node(
            "batch_norm",
            value,
            attributes={"eps": 1e-5, "momentum": 0.1},
            weights=dict.fromkeys(roles, (channels,)),
        )

    def linear(self, value: str, classes: int, features: int) -> str:
        return self.node("linear", value, weights={"weight": (classes, features), "bias": (classes,)})

    def graph(self) -> Graph:
        return Graph(
            input_name="input",
            input_shape=self._input_shape,
            nodes=tuple(self._nodes),
            output=self._nodes[-1].name,
            weight_shapes=self._shapes,
        )


def residual_graph(hidden: int = 96, channels: int = 16) -> Graph:
    """An inverted residual block between a stem and a head, 32x32 in, ten classes out."""
    net = GraphByHand()
    stem = net.node("relu6", net.batch_norm(net.conv("input", channels, 3, 3, 2), channels))
    value = net.node("relu6", net.batch_norm(net.conv(stem, hidden, channels), hidden))
    value = net.node("relu6", net.batch_norm(net.conv(value, hidden, 1, 3), hidden))
    value = net.batch_norm(net.conv(value, channels, hidden), channels)
    value = net.node("add", stem, value)
    value = net.node("mean", value, attributes={"keepdim": False})
    net.linear(net.node("dropout", value, attributes={"p": 0.2}), 10, channels)
    return net.graph()
